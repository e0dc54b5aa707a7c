env -i A=1 B=2 env | sort
env -u HOME printenv HOME
printenv PATH
env -C / pwd
env nonexistent-program
