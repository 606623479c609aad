"""Fetch the data packages: pictures and names from npm, clip art, words and type faces from Debian.

    python -m training.fetch [--only demo]

Everything lands unpacked under `training/cache/packages/`; what is there already is not fetched again.
Needs `npm`, and `apt-get` with `dpkg-deb`. Nothing fetched is ever committed; see ATTRIBUTIONS.md beside
the model for authors and licences.
"""

from __future__ import annotations

import argparse
import subprocess
import tarfile
import tempfile
from pathlib import Path

CACHE = Path(__file__).parent / "cache"
PACKAGES = CACHE / "packages"

NPM_DEMO = {"@iconify-json/twemoji": "1.2.5"}
NPM_TRAINING = {
    "@iconify-json/noto": "1.2.9",
    "@iconify-json/noto-v1": "1.2.5",
    "@iconify-json/fxemoji": "1.2.2",
    "@iconify-json/fluent-emoji": "1.2.7",
    "@iconify-json/fluent-emoji-flat": "1.2.6",
    "@iconify-json/emojione": "1.2.3",
    "@iconify-json/streamline-emojis": "1.2.4",
    "@iconify-json/openmoji": "1.2.29",
    "@lobehub/fluent-emoji-3d": "1.1.0",
    "emojilib": "4.0.3",
    "unicode-emoji-json": "0.9.0",
    "cldr-annotations-full": "48.2.0",
}
DEBIAN_DEMO = ["fonts-lato"]
DEBIAN_TRAINING = [
    "openclipart-svg",
    "wamerican",
    "fonts-dejavu-core",
    "fonts-liberation",
    "fonts-freefont-ttf",
    "fonts-roboto-unhinted",
    "fonts-open-sans",
    "fonts-dosis",
    "fonts-cantarell",
    "fonts-crosextra-carlito",
    "fonts-bebas-neue",
    "fonts-ebgaramond",
    "fonts-league-spartan",
]


def npm_folder(name: str) -> Path:
    """Return where the npm package of this name is unpacked."""
    return PACKAGES / "npm" / name.replace("/", "__")


def debian_folder(name: str) -> Path:
    """Return where the Debian package of this name is unpacked."""
    return PACKAGES / "debian" / name


def fetch_npm(name: str, version: str) -> None:
    """Download one npm package and unpack it; do nothing when it is there."""
    folder = npm_folder(name)
    if folder.exists():
        return
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            ["npm", "pack", "--silent", f"{name}@{version}"], cwd=scratch, check=True, stdout=subprocess.PIPE
        )
        archive = next(Path(scratch).glob("*.tgz"))
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as tar:
            tar.extractall(Path(scratch) / "unpacked", filter="data")
        (Path(scratch) / "unpacked" / "package").rename(folder)


def fetch_debian(name: str) -> None:
    """Download one Debian package and unpack it, without installing it; do nothing when it is there."""
    folder = debian_folder(name)
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        subprocess.run(
            ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name],
            cwd=scratch, check=True, stdout=subprocess.PIPE,
        )  # fmt: skip
        archive = next(Path(scratch).glob("*.deb"))
        unpacked = Path(scratch) / "unpacked"
        subprocess.run(["dpkg-deb", "-x", str(archive), str(unpacked)], check=True)
        unpacked.rename(folder)


def main() -> None:
    """Fetch every package, or only those that the demo clip is drawn with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=["demo"])
    only_demo = parser.parse_args().only == "demo"
    for name, version in (NPM_DEMO if only_demo else NPM_DEMO | NPM_TRAINING).items():
        print(f"npm {name} {version}", flush=True)
        fetch_npm(name, version)
    for name in DEBIAN_DEMO if only_demo else DEBIAN_DEMO + DEBIAN_TRAINING:
        print(f"debian {name}", flush=True)
        fetch_debian(name)


if __name__ == "__main__":
    main()
