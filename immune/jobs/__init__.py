"""What is asked for with a file, or to get one, and done by a worker: reports, scans of files, advisories, VEX documents."""
