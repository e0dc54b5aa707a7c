import subprocess, sys

print(subprocess.run(["echo", "hi"], capture_output=True, text=True))
print(subprocess.check_output("seq 5 | tail -1", shell=True))
p = subprocess.Popen(["cat"], stdin=-1, stdout=-1)
print(p.communicate(b"x" * 200000)[0] == b"x" * 200000)
print(subprocess.run([sys.executable, "-c", "import sys; sys.exit(9)"]).returncode)
p = subprocess.Popen(["sleep", "9"])
p.terminate()
print(p.wait())
try:
    subprocess.run(["sleep", "9"], timeout=0.1)
except subprocess.TimeoutExpired:
    print("timed out")
try:
    subprocess.run(["/nope"])
except FileNotFoundError as e:
    print(e)
print(subprocess.run(["true"], preexec_fn=lambda: None, close_fds=True, start_new_session=True).returncode)
print(subprocess.run("echo $0 >&2; exit 4", shell=True, stderr=subprocess.STDOUT, stdout=-1, cwd="/", env={}))
