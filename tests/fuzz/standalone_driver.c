/* Runs a fuzz target without libFuzzer: over each file named in argv, and each file in each directory named there (not
 * deeper). Every input is copied into a block of exactly its size, so that a sanitizer sees a read past the end. Prints how many ran;
 * fails if one cannot be read or if there were none. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned n_run;

static int run_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size != 0 ? size : 1);
	int ok = f != NULL && data != NULL && fread(data, 1, size, f) == size;

	if (ok) {
		(void)LLVMFuzzerTestOneInput(data, size);
		n_run++;
	} else {
		(void)fprintf(stderr, "%s: cannot be read\n", path);
	}
	free(data);
	if (f != NULL)
		(void)fclose(f);
	return ok;
}

static int run_dir(const char *path)
{
	char child[4096];
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(path);
	int ok = d != NULL;

	while (ok && (e = readdir(d)) != NULL) {
		int n = snprintf(child, sizeof child, "%s/%s", path, e->d_name);

		if (n < 0 || (size_t)n >= sizeof child || stat(child, &st) != 0)
			ok = 0;
		else if (S_ISREG(st.st_mode))
			ok = run_file(child, (size_t)st.st_size);
	}
	if (d != NULL)
		(void)closedir(d);
	return ok;
}

int main(int argc, char **argv)
{
	int ok = 1;

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) != 0) {
			(void)fprintf(stderr, "%s: not found\n", argv[i]);
			ok = 0;
		} else if (!(S_ISDIR(st.st_mode) ? run_dir(argv[i]) : run_file(argv[i], (size_t)st.st_size))) {
			ok = 0;
		}
	}
	printf("%s: %u inputs\n", argv[0], n_run);
	return ok && n_run > 0 ? 0 : 1;
}
