"""`pmf app`: start the page."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from pmf.data.readers.reading import AS_IT_IS, Reading
from pmf.errors import InputError

MODEL, DATA, READING = "PMF_APP_MODEL", "PMF_APP_DATA", "PMF_APP_READING"  # what the page is told
PAGE = Path(__file__).with_name("page.py")
OPTIONS = {
    "browser.gatherUsageStats": "false",  # the page asks the network for nothing
    "server.headless": "true",
    "server.maxUploadSize": "5",  # megabytes
    "server.address": "localhost",
    "client.toolbarMode": "minimal",
}


def launch(
    model: Path | None, data: str | None, port: int, address: str, reading: Reading = AS_IT_IS
) -> int:
    """Serve the page until it is stopped; Streamlit's exit code.

    This process becomes the server, so that whatever stops it stops the server: no signal, not even
    SIGKILL, leaves one behind. Only Windows, which cannot do so, has a second process.

    Raises `InputError` without Streamlit, and for a model file that cannot be read.
    """
    if find_spec("streamlit") is None:
        raise InputError("the page needs Streamlit: pip install 'pmf[app]'")
    environment = (
        os.environ
        | ({MODEL: str(model.resolve())} if model else {})
        | ({DATA: data} if data else {})
        | {READING: json.dumps(asdict(reading))}
    )
    options = OPTIONS | {"server.port": str(port), "server.address": address}
    options_of_page = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "streamlit", "run", str(PAGE), *options_of_page]
    print(f"pmf app: http://{address}:{port} (Ctrl-C stops it)", flush=True)
    if os.name == "posix":
        os.execve(sys.executable, command, environment)
    try:
        return subprocess.run(command, env=environment).returncode
    except KeyboardInterrupt:
        return 130
