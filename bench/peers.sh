#!/usr/bin/env bash
# Get and build the programs that bench/learn.py compares with:  bench/peers.sh FOLDER
# Needs git, gcc, g++, make, python3 and a network (a clone or MKL already in FOLDER is used as it is).
# Each is built with the flags of its own makefile, which are -O3 -march=native or the like, except pWord2Vec, whose
# makefile wants Intel's compiler: here it is g++ with the same MKL, -ffast-math (which Intel's compiler implies) and its
# `#pragma simd` spelled as OpenMP has it.
set -euo pipefail
folder=$(mkdir -p "${1:?usage: bench/peers.sh FOLDER}" && cd "$1" && pwd)
clone() { [ -d "$folder/$2" ] || git clone --depth 1 "https://github.com/$1/$2" "$folder/$2"; }

clone tmikolov word2vec
# Its last thread remembers the end of the file and skips every epoch but the first; so the flag is cleared where the others are.
sed 's/^      word_count = 0;$/      word_count = 0; eof = 0;/' "$folder/word2vec/word2vec.c" > "$folder/word2vec/word2vec.eof.c"
gcc "$folder/word2vec/word2vec.eof.c" -o "$folder/word2vec/word2vec" \
    -lm -pthread -O3 -march=native -Wall -funroll-loops -Wno-unused-result

clone facebookresearch fastText
make -C "$folder/fastText" opt

clone stanfordnlp GloVe
make -C "$folder/GloVe"
# Its makefile has -Ofast, too, with a warning: so both are measured.
(cd "$folder/GloVe" && gcc src/glove.c src/common.c -o build/glove-ofast -pthread -Ofast -march=native -funroll-loops -lm)

clone IntelLabs pWord2Vec
if [ ! -d "$folder/mkl" ]; then
    python3 -m venv "$folder/mkl"
    "$folder/mkl/bin/pip" install --quiet mkl-static mkl-include
fi
lib=$folder/mkl/lib
sed 's/#pragma simd/#pragma omp simd/' "$folder/pWord2Vec/pWord2Vec.cpp" > "$folder/pWord2Vec/pWord2Vec.gcc.cpp"
g++ -std=c++11 -fopenmp -O3 -march=native -ffast-math -w -DUSE_MKL -I"$folder/mkl/include" -include cstdio -include cstdlib -include immintrin.h \
    "$folder/pWord2Vec/pWord2Vec.gcc.cpp" -o "$folder/pWord2Vec/pWord2Vec" \
    -Wl,--start-group "$lib/libmkl_intel_lp64.a" "$lib/libmkl_sequential.a" "$lib/libmkl_core.a" -Wl,--end-group -lm -ldl
echo "built in $folder: word2vec fastText GloVe pWord2Vec"
