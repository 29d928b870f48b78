"""How often a command opens each file: recordings, JSON, voices.

    python -m benchmarks.openings

Runs `bark clone` and `bark --text` on nano in one process each and prints, for each kind of file
that is read, how many opens for reading there were and the most for one file. What a worker
process opens is not counted: it decodes mp3 and what needs FFmpeg, and opens such a file twice.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from importlib import resources
from pathlib import Path

PROGRAM = """
import sys
from collections import Counter
opened = Counter()
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[1] == "r":
        opened[str(arguments[0])] += 1
sys.addaudithook(note)
from booth.cli.main import main
code = main(sys.argv[1:])
kinds = (".flac", ".wav", ".json", ".npz", ".safetensors")
for path, count in opened.items():
    if path.endswith(kinds) and "site-packages" not in path:
        print("OPENED", count, path)
sys.exit(code)
"""


def measure(words: list[str], folder: Path) -> Counter[str]:
    """Run one command in a process of its own; return how often each file was opened."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split(" ", 2) for line in done.stdout.splitlines() if line.startswith("OPENED")]
    return Counter({path: int(count) for _, count, path in lines})


def main() -> int:
    """Print the counts."""
    clip = resources.files("booth") / "samples" / "reference.flac"
    with tempfile.TemporaryDirectory() as place, resources.as_file(clip) as recording:
        folder = Path(place)
        commands = {
            "bark clone": [
                "clone",
                str(recording),
                "-o",
                "me.npz",
                "--model",
                "nano",
                "--consent",
                "self",
            ],
            "bark --text": [
                "--model",
                "nano",
                "--text",
                "Good morning.",
                "--history_prompt",
                "me.npz",
            ],
        }
        print("| command | kind | files | opens | most for one |\n|---|---|---|---|---|")
        for name, words in commands.items():
            opened = measure(words, folder)
            for kind in (".flac", ".json", ".npz", ".safetensors"):
                counts = [count for path, count in opened.items() if path.endswith(kind)]
                row = f"{len(counts)} | {sum(counts)} | {max(counts, default=0)}"
                print(f"| `{name}` | {kind} | {row} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
