printf '#!/bin/sh\necho script $0 $1\n' > s
chmod +x s
./s one
printf 'echo no line\n' > t
chmod +x t
./t
printf '#!/nope\n' > u
chmod +x u
./u
echo $?
chmod -x s
./s
echo $?
. ./t
source t
