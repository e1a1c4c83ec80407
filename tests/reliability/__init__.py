"""What happens when things break: `make reliability` measures it and writes docs/reliability.md."""
