"""Results: verdicts, tables, figures and image sheets made from metrics files."""
