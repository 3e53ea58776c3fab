"""Packs a directory, the same bytes for the same files: tar.py <directory> <tgz>

Names are sorted; times, owners and modes are fixed, but that a program stays one.
"""

import gzip
import sys
import tarfile
from pathlib import Path


def main():
    directory, archive = map(Path, sys.argv[1:])
    with archive.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted(path for path in directory.rglob("*") if path.is_file()):
                entry = tarfile.TarInfo(path.relative_to(directory).as_posix())
                entry.size = path.stat().st_size
                entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                with path.open("rb") as content:
                    tar.addfile(entry, content)


main()
