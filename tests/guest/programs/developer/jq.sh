seq 2000 | jq -c '{id: ., even: (. % 2 == 0), tags: [range(. % 3)]}' > d
wc -l < d
jq -s 'map(select(.even)) | length' d
jq -r 'select(.id < 4) | [.id, (.tags | join("-"))] | @csv' d
jq -n '[inputs.id] | add' d
jq --arg x "$HOME" -n '$x, env.LANG'
echo '{"a":{"b":[1,2,{"c":null}]}}' | jq -S 'paths(scalars) as $p | [$p, getpath($p)]' -c
echo '{' | jq .; echo $?
jq -e '.nope' <<< '{}'; echo $?
