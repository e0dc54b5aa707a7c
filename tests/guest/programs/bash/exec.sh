exec 2>&1
(exec echo replaced)
exec -a other sh -c 'echo $0'
