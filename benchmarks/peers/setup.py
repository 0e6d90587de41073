"""Make the peers' own environment: what the benchmarks and golden tests compare with, at pinned versions.

    python -m benchmarks.peers.setup
    python -m benchmarks.peers.setup --folder .peers-hftbacktest --requirements benchmarks/peers/hftbacktest.txt

Takes about two minutes and 1.1 GB. Nothing happens when it stands already at these versions.
"""

import hashlib
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.peers.client import DEFAULT_FOLDER, python_of

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


@dataclass(frozen=True)
class Args:
    """Set the peers' environment up."""

    folder: Path = DEFAULT_FOLDER
    """Where it goes."""
    requirements: Path = REQUIREMENTS
    """What goes into it; hftbacktest cannot live with the others, for it needs numpy < 2.3."""


def main(args: Args) -> int:
    stamp = args.folder / "requirements.sha256"
    digest = hashlib.sha256(args.requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        print(f"{args.folder} stands already")
        return 0
    venv.create(args.folder, clear=True, with_pip=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(args.requirements)]
    done = subprocess.run([str(python_of(args.folder)), *install], check=False)
    if done.returncode != 0:
        print("error: the peers could not be installed; pip says why above", file=sys.stderr)
        return 1
    # Last, so that an installation cut short is made anew.
    stamp.write_text(digest, encoding="utf-8")
    print(f"{args.folder} is ready")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
