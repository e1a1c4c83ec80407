"""As in the package: the static filter is a command of its command line."""
