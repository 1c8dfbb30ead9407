"""What runs inside the child of a script: it reads the table, calls the script and writes what it gave."""
