# Sourced: what core/base/cpu.c puts into the environment of engines, for programs that have the engine inside (tests, benchmarks, judges).
if [ -z "${OPENBLAS_CORETYPE:-}" ]; then
	if grep -qw avx512vl /proc/cpuinfo; then
		export OPENBLAS_CORETYPE=SkylakeX
	elif grep -qw avx2 /proc/cpuinfo; then
		export OPENBLAS_CORETYPE=Haswell
	fi
fi
