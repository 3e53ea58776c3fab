"""Zips a program as Lambda wants it, the same bytes for the same program: zip.py <program> <zip>

The entry has one name, one time and one mode, whatever those of the file are.
"""

import sys
import zipfile
from pathlib import Path


def main():
    program, package = map(Path, sys.argv[1:])
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # Unix, or the mode would not count
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    package.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(package, "w") as file:
        file.writestr(entry, program.read_bytes(), compresslevel=9)


main()
