"""`python -m segutils COMMAND`: the package's command lines, each imported only when asked for."""

import importlib
import sys

COMMANDS = {  # name: (module with a main(arguments), what it does)
    "workbook": ("segutils.workbook", "copy the notebooks and open them in JupyterLab"),
    "train": ("segutils.train_command", "train a model on the street scenes, alone or by torchrun"),
    "grade": ("segutils.grading.command", "mark a folder of submitted exercise notebooks"),
}


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in COMMANDS:
        module, _ = COMMANDS[arguments[0]]
        return importlib.import_module(module).main(arguments[1:])
    print("usage: python -m segutils COMMAND [options]\n")
    for name, (_, does) in COMMANDS.items():
        print(f"  {name:<12}{does}")
    if not arguments or arguments[0] in ("-h", "--help"):
        return 0
    print(f"\nsegutils: no command {arguments[0]!r}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
