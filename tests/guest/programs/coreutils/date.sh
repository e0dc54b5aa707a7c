date -u -d @86400 +%F_%T
date -u -d '2000-01-01 +1 day' +%A
TZ=Europe/Berlin date -d @1700000000
