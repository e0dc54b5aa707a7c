seq 20 >f
tail -n 3 f
tail -c 6 f
tail -n +18 f
tail -f f >out 2>&1 &
until grep -q 20 out; do sleep 0.05; done
echo more >>f
until grep -q more out; do sleep 0.05; done
kill $!
wait $!
cat out
tail -F g >out 2>&1 &
until grep -q cannot out; do sleep 0.05; done
echo first >g
until grep -q first out; do sleep 0.05; done
mv g h
echo second >g
until grep -q second out; do sleep 0.05; done
kill $!
wait $!
grep -v inaccessible out
