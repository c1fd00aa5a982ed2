"""Holds Rapport's hub to huggingface_hub's: one cache, one set of routes.

A server of this script's own speaks a hub's routes. huggingface_hub and Rapport both fetch a model from it, each opens what the
other left in the cache with HF_HUB_OFFLINE=1, and both push it; what they leave, here and there, must be the same.

    python scripts/check_hub.py RAPPORT MODEL      # needs huggingface_hub; MODEL is a folder with safetensors
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOKEN = "hf_CheckHubToken0123456789"


def git(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """Repositories by id: files by path, as bytes or as the path of a large file."""

    def __init__(self):
        self.repos, self.store, self.seen = {}, {}, []

    def commit(self, repo):
        names = sorted((name, self.etag(data)) for name, data in self.repos[repo].items())
        return hashlib.sha1(json.dumps(names).encode()).hexdigest()

    def etag(self, data):
        return hashlib.sha256(data).hexdigest() if len(data) > 5_000_000 else git(data)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub, store_url, is_store = None, None, False

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", **headers):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle_any(self):
        path = unquote(urlsplit(self.path).path)
        data = self.body()
        token = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self.hub.seen.append((self.command, path, token, self.is_store))
        if self.is_store:
            oid = path.split("/")[-1]
            if self.command == "PUT":
                self.hub.store[oid] = data
                return self.reply(200, ETag='"x"')
            return self.send_file(self.hub.store[oid], oid)
        if m := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            files = self.hub.repos.get(m[1])
            if files is None:
                return self.reply(404, {}, X_Error_Code="RepoNotFound")
            siblings = [{"rfilename": name} for name in files]
            return self.reply(200, {"id": m[1], "sha": self.hub.commit(m[1]), "siblings": siblings})
        if m := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/.+", path):
            rows = []
            for name, content in self.hub.repos[m[1]].items():
                row = {"type": "file", "path": name, "size": len(content), "oid": git(content)}
                if len(content) > 5_000_000:
                    row["lfs"] = {"oid": self.hub.etag(content), "size": len(content), "pointerSize": 130}
                rows.append(row)
            return self.reply(200, rows)
        if m := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40}|main)/(.+)", path):
            content = self.hub.repos.get(m[1], {}).get(m[3])
            if content is None:
                return self.reply(404, X_Error_Code="EntryNotFound", X_Repo_Commit=self.hub.commit(m[1]))
            etag = self.hub.etag(content)
            if len(content) > 5_000_000:
                self.hub.store[etag] = content
                return self.reply(
                    302, Location=f"{self.store_url}/{etag}", X_Repo_Commit=self.hub.commit(m[1]),
                    X_Linked_Etag=f'"{etag}"', X_Linked_Size=str(len(content)),
                )
            return self.send_file(content, etag, X_Repo_Commit=self.hub.commit(m[1]))
        if path == "/api/repos/create":
            told = json.loads(data)
            repo = f"{told['organization']}/{told['name']}"
            if repo in self.hub.repos:
                return self.reply(409, {"error": "You already created this model repo"})
            self.hub.repos[repo] = {}
            return self.reply(200, {"url": f"http://{self.headers['Host']}/{repo}", "name": repo})
        if m := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = []
            for file in json.loads(data)["files"]:
                known = self.hub.repos[m[1]].get(file["path"])
                mode = "lfs" if file["size"] > 5_000_000 else "regular"
                row = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
                files.append(row | ({"oid": self.hub.etag(known)} if known is not None else {}))
            return self.reply(200, {"files": files})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = []
            for row in json.loads(data)["objects"]:
                if row["oid"] not in self.hub.store:
                    row["actions"] = {"upload": {"href": f"{self.store_url}/{row['oid']}"}}
                objects.append(row)
            return self.reply(200, {"transfer": "basic", "objects": objects})
        if m := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            for line in data.decode().splitlines():
                line = json.loads(line)
                value = line["value"]
                if line["key"] == "file":
                    self.hub.repos[m[1]][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    self.hub.repos[m[1]][value["path"]] = self.hub.store[value["oid"]]
            oid = self.hub.commit(m[1])
            page = f"http://{self.headers['Host']}/{m[1]}/commit/{oid}"
            return self.reply(200, {"commitUrl": page, "commitOid": oid})
        if path == "/api/validate-yaml":
            return self.reply(200, {"errors": [], "warnings": []})
        return self.reply(404, {})

    def send_file(self, content, etag, **headers):
        headers["ETag"] = f'"{etag}"'
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(wanted[1])
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self.reply(206, content[start:], **headers)
        return self.reply(200, content, **headers)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any


def serve(**attributes):
    handler = type("Handler", (Handler,), attributes)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def python(code, **env):
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def tree(cache):
    """What the cache holds that matters: links, their targets and references."""
    found = {}
    for path in sorted(cache.rglob("*")):
        name = str(path.relative_to(cache))
        # Locks, lists of a commit's files, and what is known to be absent, are each client's own.
        if re.search(r"\.locks|\.no_exist|/trees|CACHEDIR", name) or path.is_dir():
            continue
        found[name] = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main():
    rapport, model = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2])
    files = [path for path in sorted(model.iterdir()) if path.is_file() and not path.name.startswith(".")]
    hub = Hub()
    hub.repos["org/model"] = {path.name: path.read_bytes() for path in files}
    hub.repos["org/model"]["pytorch_model.bin"] = b"pickle"
    store = serve(hub=hub, is_store=True)
    url = serve(hub=hub, store_url=store)
    work = Path(tempfile.mkdtemp())
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    plain |= {"HF_ENDPOINT": url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    rows = work / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"Say {i}.", "completion": f" {i}"}) + "\n" for i in range(2)))

    def run(cache, *more, **env):
        command = [rapport, "run", "sft", "--runs", str(work / f"runs-{cache}"), "--set", "model.path=hub:org/model"]
        command += ["--set", f"data.train={rows}", "--set", "train.max_steps=1", *more]
        env = plain | {"HF_HOME": str(work / cache)} | env
        done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    run("ours")
    assert not any(token for _, _, token, is_store in hub.seen if is_store), "the token went to the store"
    assert all(token for _, _, token, is_store in hub.seen if not is_store)
    ours = tree(work / "ours/hub")
    names = sorted(name.split("/")[-1] for name in ours if "/snapshots/" in name)
    print("fetched by Rapport:", ", ".join(names))
    assert "pytorch_model.bin" not in names

    patterns = [name for name in names]
    fetch = f"from huggingface_hub import snapshot_download as s; s('org/model', allow_patterns={patterns})"
    python(fetch, **plain, HF_HOME=str(work / "theirs"))
    theirs = tree(work / "theirs/hub")
    assert ours == theirs, (ours, theirs)
    print(f"the same cache of {len(ours)} entries")

    code = "from huggingface_hub import snapshot_download as s, hf_hub_download as d; import os; p = s('org/model'); "
    code += f"assert all(os.path.samefile(d('org/model', n), os.path.join(p, n)) for n in {names})"
    before = len(hub.seen)
    python(code, **plain, HF_HOME=str(work / "ours"), HF_HUB_OFFLINE="1")
    opens = "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
    opens += "T.from_pretrained('org/model'); print(M.from_pretrained('org/model').config.model_type)"
    try:
        python("import transformers")
        python(opens, **plain, HF_HOME=str(work / "ours"), HF_HUB_OFFLINE="1")
    except subprocess.CalledProcessError:
        print("transformers does not open it, or is not there")
    run("theirs", HF_HUB_OFFLINE="1")
    again = run("ours", HF_HUB_OFFLINE="1")
    assert "done in" not in again.stderr, again.stderr
    assert len(hub.seen) == before, "something was asked"
    print("each opens offline what the other fetched; a finished run asks nothing")

    made = work / "runs-ours/sft/sandbox/model"
    card = (made / "README.md").read_text()
    assert f"base_model: org/model" in card and hub.commit("org/model") in card, card
    env = plain | {"HF_HOME": str(work / "ours")}
    subprocess.run([rapport, "push", str(made), "org/ours", "--private"], cwd=work, env=env, check=True)
    code = "from huggingface_hub import HfApi; a = HfApi(); a.create_repo('org/theirs', exist_ok=True); "
    # Hidden files are a folder's own affair.
    code += f"a.upload_folder(repo_id='org/theirs', folder_path={str(made)!r}, ignore_patterns=['.*'])"
    python(code, **env)
    routes = {}
    for who in ("ours", "theirs"):
        seen = [(method, path.replace(f"org/{who}", "REPO")) for method, path, _, _ in hub.seen if f"org/{who}" in path]
        routes[who] = list(dict.fromkeys(seen))
        print(who, *(f"{method} {path}" for method, path in routes[who]), sep="\n    ")
    assert hub.repos["org/ours"] == hub.repos["org/theirs"], "what was pushed differs"
    assert set(routes["ours"]) <= set(routes["theirs"]) | {("POST", "/api/repos/create")}
    print("the same files pushed by the same routes")
    for path in work.rglob("*"):
        if path.is_file() and path.stat().st_size < 5_000_000:
            assert TOKEN.encode() not in path.read_bytes(), f"the token is in {path}"
    print("the token is in no file")


if __name__ == "__main__":
    main()
