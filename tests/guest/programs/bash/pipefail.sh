set -o pipefail
false | true
echo $?
true | exit 3 | true
echo ${PIPESTATUS[*]}
yes | head -1
echo ${PIPESTATUS[0]}
