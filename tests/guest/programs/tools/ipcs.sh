plain() { sed -E 's/0x[0-9a-f]{8}/KEY/; s/\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[A-Za-z0-9: ]*/TIME/; s/(.?id[= ]\(?)[0-9]+/\1N/'; }
q=$(ipcmk -Q -p 640 | grep -o '[0-9]*$') s=$(ipcmk -S 3 -p 600 | grep -o '[0-9]*$') m=$(ipcmk -M 10000 -p 604 | grep -o '[0-9]*$')
trap 'ipcrm -q $q -s $s -m $m 2>/dev/null' EXIT
show() { ipcs $1 | awk -v id="$2" 'NR < 4 || $2 == id {$2 = "ID"; print}' | plain; ipcs $1 -i "$2" 2>&1 | sed 's/cpid=[0-9]*/cpid=N/' | plain; }
show -q "$q"
show -s "$s"
show -m "$m"
ipcs -l | sed 's/[0-9]*$//'
ipcrm -q "$q" -s "$s" -m "$m"
echo $?
ipcrm -q "$q" 2>&1 | plain
ipcs -m -i "$m" 2>&1 | plain
ipcmk -M 0 2>&1
echo $?
