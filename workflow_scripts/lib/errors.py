class UserError(Exception): """x"""
