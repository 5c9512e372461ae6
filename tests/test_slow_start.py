import subprocess
import sys
import time

HEAVY = ("torch", "transformers", "mlflow", "pandas", "omegaconf", "numpy")


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    program = "import sys, asrx, asrx.cli; print(*(name for name in sys.argv[1:] if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_is_there_before_one_looks_away() -> None:
    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "asrx", "--help"], capture_output=True, check=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) < 0.5


def test_help_and_the_recipes_load_nothing_heavy() -> None:
    program = (
        "import sys, asrx.cli\n"
        "for sys.argv in (['asrx', '--help'], ['asrx', 'train', '--help'], ['asrx', 'recipes']):\n"
        "    try: asrx.cli.main()\n"
        "    except SystemExit: pass\n"
        "print('torch' in sys.modules, 'mlflow' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False False"
