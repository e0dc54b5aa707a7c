seq 20 > f
csplit -s f 5 '/12/'
wc -l xx*
split -l 6 f part
cat partab
split -n 3 f
ls
