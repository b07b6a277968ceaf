"""The recipe for SGLang's page, step by step, on the built-in model."""

import base64
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from tests.support.chromium import chromium, needs_chromium
from tests.support.sglang_modules import webui
from tests.support.static_server import static_server

ROOT = Path(__file__).parents[2]
CHOOSE = """(() => {
  const bytes = Uint8Array.from(atob('%s'), (c) => c.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], 'first.png', {type: 'image/png'}));
  document.getElementById('firstFrame').files = files.files;
  document.getElementById('firstFrame').dispatchEvent(new Event('change'));
  return true;
})()"""


@needs_chromium
def test_the_page_plays_the_built_in_model_at_its_size_and_is_told_it_at_another(tmp_path):
    recipe = (ROOT / "recipes" / "sglang.md").read_text()
    command = re.search(r"```\nlingbot (serve .*)\n```", recipe)[1]
    size = re.search(r'type `(\d+x\d+)` under "Size"', recipe)[1]
    with static_server(webui()) as page, chromium(tmp_path / "profile") as browser:
        words = command.replace("http://127.0.0.1:18080", page).split()
        server = [sys.executable, "-m", "lingbot_cli", *words, "--port", "0"]
        with subprocess.Popen(server, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
            try:
                lines = [child.stdout.readline() for _ in range(3)]
                engine = lines[2].split()[1]
                tab = browser.open(f"{page}/?server={quote(engine)}")
                tab.until("document.getElementById('historyList')?.innerText.includes('server model')")
                image = (ROOT / "samples" / "courtyard-day.png").read_bytes()
                tab.ask(CHOOSE % base64.b64encode(image).decode())
                tab.ask("document.getElementById('connectBtn').click()")
                tab.until("document.getElementById('statusText').textContent.includes('832x480')")
                assert f"use {size}, the size of this model" in tab.ask(
                    "document.getElementById('statusText').textContent"
                )
                tab.ask("document.getElementById('stopBtn').click()")
                tab.ask(f"document.getElementById('size').value = '{size}'")
                tab.ask("document.getElementById('connectBtn').click()")
                tab.until("Number(document.getElementById('frameText').textContent.split(' ').pop()) >= 30")
                tab.until("document.getElementById('statusText').textContent === 'Live'")
                tab.screenshot(tmp_path / "page.png")
            finally:
                child.kill()
    assert Image.open(tmp_path / "page.png").size[0] == 1000
