"""Shared by the checks in Python, as lib.sh is by those in bash. A check sets sys.dont_write_bytecode first."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

# The tree to look at: this one, or VFIO_BROKER_TREE.
TOP = pathlib.Path(os.environ.get("VFIO_BROKER_TREE") or pathlib.Path(__file__).resolve().parents[2]).resolve()

# The folders that make a program or a library. Their files may not depend on each other in a circle.
PRODUCT = ["daemon/broker", "daemon/front", "daemon/helper", "daemon/inspector", "daemon/keeper", "daemon/common",
    "client/lib", "client/cli", "proto"]
# The folders of daemon/broker, the lowest first.
FLOORS = ["base", "host", "policy", "state", "front", "helper", "audit", "lease", "request", "service"]

failed = False


def git(*arguments):
    return subprocess.run(["git", "-c", "safe.directory=*", *arguments], cwd=TOP, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, check=False).stdout


def files():
    """All files of the project, relative to TOP; without git, all of the tree but build folders."""
    if git("rev-parse", "--show-toplevel").strip() == str(TOP):
        names = git("ls-files", "--cached", "--others", "--exclude-standard").splitlines()
        return sorted({name for name in names if (TOP / name).is_file()})
    names = [str(path.relative_to(TOP)) for path in TOP.rglob("*") if path.is_file()]
    return sorted(name for name in names if not re.match(r"build|\.git/", name))


def verdict(name, complaints):
    """One TAP line; any complaint is a failure, and each is shown."""
    global failed
    print(f"{'not ok' if complaints else 'ok'} - {name}")
    for complaint in complaints:
        print(f"# {complaint}")
    sys.stdout.flush()
    failed = failed or bool(complaints)


def finish():
    sys.exit(failed)


def prose(text, indented=True):
    """The lines of a page; those of blocks of code (fenced, or INDENTED after an empty line) are made empty."""
    fenced, code, before = False, False, ""
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        code = indented and line.startswith(("    ", "\t")) and (code or not before.strip())
        before = line
        yield "" if fence or fenced or code else line


def product_of(name):
    """The folder of PRODUCT that a file is in, or None."""
    return next((folder for folder in PRODUCT if name.startswith(folder + "/")), None)


def sources():
    """The C files of PRODUCT."""
    return [name for name in files() if name.endswith(".c") and product_of(name)]


def compiler_flags(name):
    """Options to compile a file of PRODUCT: without optimization, without warnings."""
    include = [".", "proto", "kmod", "daemon/common", "client/include", product_of(name)]
    define = ["VERSION", "RUNDIR", "SYSCONFDIR", "DATADIR", "LIBEXECDIR", "BINDIR"]
    return ["-std=gnu17", "-D_GNU_SOURCE", "-O0", "-w", *(f"-I{folder}" for folder in include),
        *(f'-D{macro}="x"' for macro in define)]


def in_parallel(function, arguments):
    """FUNCTION of each of ARGUMENTS, in their order, for functions that wait for a process."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, arguments))


def circles(pairs):
    """Circles of a graph, each as [A, B, ..., A]; none if there is none. PAIRS are (A, B): A needs B."""
    text = "".join(f"{a} {b}\n" for a, b in sorted(pairs) if a != b)
    run = subprocess.run(["tsort"], input=text, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        check=False)
    found, circle = [], []
    for line in [*run.stderr.splitlines(), "a loop:"]:
        if line.endswith("loop:"):
            if circle:
                found.append([*circle, circle[0]])
            circle = []
        else:
            circle.append(line.removeprefix("tsort: "))
    return found


if __name__ == "__main__":
    print(*globals()[sys.argv[1]], sep="\n")
