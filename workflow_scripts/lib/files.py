import json, pathlib
def write_json(p,o): pathlib.Path(p).parent.mkdir(parents=True, exist_ok=True); pathlib.Path(p).write_text(json.dumps(o))
def read_json(p): return json.loads(pathlib.Path(p).read_text())
