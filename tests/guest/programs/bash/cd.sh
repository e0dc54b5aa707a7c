mkdir -p a/b
cd a/b
cd ..
pwd -P | sed 's,.*/,,'
cd -P .
cd nope
cd - > /dev/null
ln -s a l
cd / && cd .. && pwd
pushd / > /dev/null
popd > /dev/null
