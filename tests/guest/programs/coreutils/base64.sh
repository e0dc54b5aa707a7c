echo hello | base64 | base64 -d
echo hello | base32
echo hi | basenc --base16
