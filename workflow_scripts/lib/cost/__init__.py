"""What a plan costs before it runs: GPU-hours, CPU-hours, downloads, disk, licences."""
