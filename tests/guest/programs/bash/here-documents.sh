cat <<A; cat <<'B'; cat <<-C; cat <<< "string $((1+1))"
x $HOME
A
raw $HOME
B
	tabs
	C
