# a wheel, and a source distribution by a build backend in its own tree; no index
mkdir -p proj/src/demo wheels
cat > proj/pyproject.toml <<'T'
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "demo"
version = "1.0"
T
cat > proj/backend.py <<'P'
import base64, hashlib, os, tarfile, zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "demo-1.0-py3-none-any.whl"
    files = {"demo/__init__.py": open("src/demo/__init__.py").read(),
        "demo-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        "demo-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: own\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "demo-1.0.dist-info/entry_points.txt": "[console_scripts]\ndemo = demo:main\n"}
    record = "".join(f"{n},sha256={base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest()).decode().rstrip('=')},{len(t)}\n" for n, t in files.items())
    files["demo-1.0.dist-info/RECORD"] = record + "demo-1.0.dist-info/RECORD,,\n"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as z:
        for n, t in files.items():
            z.writestr(n, t)
    return name
def build_sdist(sdist_directory, config_settings=None):
    name = "demo-1.0.tar.gz"
    with tarfile.open(os.path.join(sdist_directory, name), "w:gz") as t:
        for f in ("pyproject.toml", "backend.py", "src", ):
            t.add(f, "demo-1.0/" + f)
        t.add("pyproject.toml", "demo-1.0/PKG-INFO")
    return name
P
printf 'def main():\n    print("demo runs")\n' > proj/src/demo/__init__.py
/usr/bin/python3 -m venv env && . env/bin/activate
export PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_PROGRESS_BAR=off
(cd proj && python -c 'import backend; print(backend.build_wheel("../wheels"), backend.build_sdist(".."))')
pip install -q wheels/demo-1.0-py3-none-any.whl; echo $?
demo; pip list --format=freeze | grep demo; pip check
pip uninstall -q -y demo; demo 2> /dev/null; echo $?
pip install -q demo-1.0.tar.gz; echo $?
demo && pip show demo | grep -E '^(Name|Version)' && pip show -f demo | grep -c demo/
pip uninstall -q -y demo && pip wheel -q --no-deps -w out ./proj && ls out
pip install -q nope-nothing 2>&1 | tail -1
