# pared: one makefile for everything. `make help` lists what there is to say.
# Objects of a mode live in build/<mode>/, so sanitizer builds never mix with others.

MODE    ?= release
PREFIX  ?= /usr/local
DESTDIR ?=
B       := build/$(MODE)
VERSION := 0.1.0
JOBS    ?= $(shell nproc)
# One line per file; V=1 prints the commands.
Q       := $(if $(V),,@)

CC      ?= cc
WARN    := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
HARDEN  := -fstack-protector-strong -fPIE -fno-omit-frame-pointer
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2
CFLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -DPARE_SANITIZED
CFLAGS_ubsan   := -O1 -g -fsanitize=undefined -fno-sanitize-recover=undefined -DPARE_SANITIZED
CFLAGS_tsan    := -O1 -g -fsanitize=thread -DPARE_SANITIZED
CFLAGS_cover   := -O0 -g --coverage -DPARE_SANITIZED
CFLAGS_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -DPARE_SANITIZED
LDFLAGS_asan   := -fsanitize=address,undefined
LDFLAGS_ubsan  := -fsanitize=undefined
LDFLAGS_tsan   := -fsanitize=thread
LDFLAGS_cover  := --coverage
LDFLAGS_fuzz   := -fsanitize=fuzzer,address,undefined
ifeq ($(filter $(MODE),release asan ubsan tsan cover fuzz),)
$(error MODE must be one of release asan ubsan tsan cover fuzz, not "$(MODE)")
endif
CFLAGS  += -std=c11 -D_GNU_SOURCE -I. -I$(B) $(WARN) $(HARDEN) $(CFLAGS_$(MODE)) -pthread -MMD -MP
CFLAGS  += -DPARE_VERSION='"$(VERSION)"'
LDFLAGS += -pie -Wl,-z,relro,-z,now -Wl,--as-needed -pthread $(LDFLAGS_$(MODE))
# Where the time goes: plain C loops that the compiler vectorises (-O2 leaves loops of unknown length alone). No
# contraction and no reassociation, so that every build of one machine kind rounds alike. Nobody reads the flags that
# floating point exceptions leave; where they must be kept, gcc vectorises selections with masked instructions only (AVX-512).
FAST_DIRS := core/ops/kernels core/data core/train core/prune core/eval
CFLAGS_release_fast := -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math
$(foreach d,$(FAST_DIRS),$(eval CFLAGS_$(d)/ := $(CFLAGS_$(MODE)_fast)))

# --- libraries: a directory list each, in link order (a library uses only what stands after it)
DIRS_base    := core/base
DIRS_recipe  := core/recipe
DIRS_core    := core/graph core/onnx core/ops core/ops/kernels core/data core/train core/prune core/compress core/eval core/job
DIRS_storage := storage storage/sqlite storage/memory
DIRS_api     := api
DIRS_server  := server
LIBS         := server api storage core recipe base

MAINS := core/job/main.c server/main.c
srcs   = $(filter-out $(MAINS),$(wildcard $(addsuffix /*.c,$(DIRS_$(1)))))
objs   = $(patsubst %.c,$(B)/%.o,$(1))
archive = $(B)/libpare-$(1).a

# what each layer's programs link: the layer, then those beneath it, then the libraries they are made of
LINK_base    := base
LINK_recipe  := recipe base
LINK_core    := core recipe base
LINK_storage := storage base
LINK_api     := api storage recipe base
LINK_server  := server api storage recipe base
EXT_base     := -lm
EXT_recipe   := -ljansson -lm
EXT_core     := -lopenblas -lseccomp -lz -ljansson -lcrypto -lm
# The engine starts anew for every upload and job, and loading eleven shared libraries (16,000 symbols to look up) takes 4 ms, four times the
# rest of its start: it holds what it uses of them, still at random addresses. It asks nobody for names, which static programs must not.
# ENGINE_LINK= is for systems without static libraries.
ENGINE_LINK_release := -static-pie -Wl,--no-warnings
ENGINE_LINK ?= $(ENGINE_LINK_$(MODE))
EXT_storage  := -lsqlite3 -lcrypto -lm
EXT_api      := -lsqlite3 -lcrypto -ljansson -lm
EXT_server   := -lmicrohttpd -lcurl -lsqlite3 -lcrypto -ljansson -lm

PROGRAMS := $(B)/pared $(B)/pare-core

.PHONY: all help deps run demo test test-bins conformance judge judge-http lint bench bench-http fuzz results results-published install clean image-test cover
all: $(PROGRAMS)

help:
	@sed -n 's/^## //p' Makefile
## make              build pared and pare-core
## make demo         install what is missing, build, run the main job on MNIST with curl
## make test         install what is missing, build, run every test
## make run          pared in the foreground on 127.0.0.1:8080, data in ./pared-data
## make install      DESTDIR= PREFIX=/usr/local
## make conformance  every case of the ONNX test data, one line per operator
## make judge        published models and the test nets in their real size, against ONNX Runtime
## make judge-http   the running daemon against its own document (schemathesis, Spectral) and its metrics (promtool)
## make lint         layers, owners, headers, sizes, clang-tidy, openapi
## make bench        every speed figure beside its target
## make bench-http   the service under load, every figure beside its target
## make results      the recipes on MNIST and Iris, three seeds, one table (PARED_SEEDS=1: the quick form)
## make results-published   the rows that published figures are held against; goes on where it was stopped
## make fuzz         libFuzzer targets (FUZZ_SECONDS=60 each)
## make image-test   build the container image and run the curl story against it
## MODE=asan|ubsan|tsan|cover|fuzz   a build of its own under build/<mode>/

define library
$(call archive,$(1)): $(call objs,$(call srcs,$(1)))
	@rm -f $$@
	$(if $(V),,@echo "  AR    $$@"; )ar rcs $$@ $$^
endef
$(foreach l,$(LIBS),$(eval $(call library,$(l))))

archives = $(foreach l,$(LINK_$(1)),$(call archive,$(l)))

$(B)/%.o: %.c Makefile | generated
	@mkdir -p $(@D)
	$(Q)echo "  CC    $<"; $(CC) $(CFLAGS) $(CFLAGS_$(dir $<)) -c $< -o $@

# --- files that are made: what the programs embed (the OpenAPI document and the reference page made of it, the named recipes)
PYTHON ?= /usr/bin/python3
EMBED := $(B)/embed_openapi.inc $(B)/embed_recipes.inc $(B)/embed_docs.inc
.PHONY: generated
generated: $(EMBED)
$(B)/embed_openapi.inc: openapi.yaml scripts/embed.sh
	@mkdir -p $(@D)
	sh scripts/embed.sh text openapi_yaml $< > $@.tmp && mv $@.tmp $@
$(B)/embed_docs.inc: openapi.yaml scripts/openapi.py scripts/embed.sh
	@mkdir -p $(@D)
	for form in json html csp; do $(PYTHON) scripts/openapi.py $$form $< > $(B)/openapi.$$form || exit 1; done
	for form in json html csp; do sh scripts/embed.sh text openapi_$$form $(B)/openapi.$$form || exit 1; done > $@.tmp && mv $@.tmp $@
$(B)/embed_recipes.inc: $(wildcard recipes/*.json) scripts/embed.sh
	@mkdir -p $(@D)
	sh scripts/embed.sh table recipes $(sort $(wildcard recipes/*.json)) > $@.tmp && mv $@.tmp $@

$(B)/pared: $(B)/server/main.o $(call archives,server)
	$(Q)echo "  LINK  $@"; $(CC) $(LDFLAGS) -o $@ $^ $(EXT_server)
$(B)/pare-core: $(B)/core/job/main.o $(call archives,core)
	$(Q)echo "  LINK  $@"; $(CC) $(LDFLAGS) $(ENGINE_LINK) -o $@ $^ $(EXT_core)

# --- tests: tests/<layer>/**/test_*.c is one Check program each, linked with that layer and those beneath it
TEST_LAYERS := base recipe core storage api server
EXT_check   := -lcheck -lsubunit -lrt -lm
# an archive: a test program pulls in only the helpers that it calls
TEST_SUPPORT := $(B)/libtest-support.a
$(TEST_SUPPORT): $(call objs,$(wildcard tests/support/*.c))
	@rm -f $@
	$(Q)echo "  AR    $@"; ar rcs $@ $^
test_srcs = $(wildcard tests/$(1)/test_*.c tests/$(1)/*/test_*.c)
define test_program
$(B)/$(basename $(1)): $(B)/$(basename $(1)).o $(TEST_SUPPORT) $(call archives,$(2))
	$$(Q)echo "  LINK  $$@"; $$(CC) $$(LDFLAGS) -o $$@ $$< $(TEST_SUPPORT) $(call archives,$(2)) $$(EXT_check) $(EXT_$(2))
TEST_BINS += $(B)/$(basename $(1))
endef
$(foreach l,$(TEST_LAYERS),$(foreach t,$(call test_srcs,$(l)),$(eval $(call test_program,$(t),$(l)))))
# end-to-end tests drive the programs from outside and link no layer of ours but base
$(foreach t,$(call test_srcs,e2e),$(eval $(call test_program,$(t),base)))
# the engine behind a pipe, for judges that are written in Python
RUN_MODEL := $(B)/tests/judge/run_model
$(RUN_MODEL): $(RUN_MODEL).o $(call archives,core)
	$(Q)echo "  LINK  $@"; $(CC) $(LDFLAGS) -o $@ $^ $(EXT_core)
# an engine that attacks its host when it comes to training
ROGUE := $(B)/tests/e2e/rogue_core
$(ROGUE): $(ROGUE).o $(B)/core/job/main.o $(call archives,core)
	$(Q)echo "  LINK  $@"; $(CC) $(LDFLAGS) -Wl,--wrap=pare_train -o $@ $^ $(EXT_core)
test-bins: $(TEST_BINS) $(PROGRAMS) $(RUN_MODEL) $(ROGUE)

deps:
	@sh scripts/install-deps.sh build
run: all
	$(B)/pared --data-dir pared-data --core $(B)/pare-core
demo:
	@sh scripts/install-deps.sh build demo
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@sh scripts/demo.sh $(B)
test:
	@sh scripts/install-deps.sh build test
	@$(MAKE) --no-print-directory -j$(JOBS) test-bins fuzz-corpus
	@sh scripts/run-tests.sh $(B) $(TESTS)
conformance:
	@sh scripts/install-deps.sh build test
	@$(MAKE) --no-print-directory -j$(JOBS) $(B)/tests/core/ops/test_conformance
	@$(B)/tests/core/ops/test_conformance >$(B)/conformance.txt; status=$$?; grep -v '^Running\|Checks:' $(B)/conformance.txt; exit $$status
judge:
	@sh scripts/install-deps.sh build judge
	@$(MAKE) --no-print-directory -j$(JOBS) $(RUN_MODEL)
	@sh tests/judge/run.sh $(B)
judge-http:
	@sh scripts/install-deps.sh build judge-http
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@sh tests/judge/http/run.sh $(B)
lint:
	@sh scripts/install-deps.sh build lint
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@sh tests/lint/run.sh $(B)
bench:
	@sh scripts/install-deps.sh build bench
	@$(MAKE) --no-print-directory -j$(JOBS) all bench-bins
	@sh bench/run.sh $(B)
bench-http:
	@sh scripts/install-deps.sh build bench-http
	@$(MAKE) --no-print-directory -j$(JOBS) all $(B)/bench/http/bare
	@python3 bench/http/run.py $(B)
results:
	@sh scripts/install-deps.sh build demo
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@sh scripts/results.sh $(B)
results-published:
	@sh scripts/install-deps.sh build demo
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@PARED_RESULTS=published sh scripts/results.sh $(B)
image-test:
	@sh scripts/install-deps.sh build image
	@sh tests/e2e/image.sh

BENCH_SRCS := $(wildcard bench/*.c)
bench-bins: $(patsubst bench/%.c,$(B)/bench/%,$(BENCH_SRCS))
$(B)/bench/%: bench/%.c $(call archives,core) | generated
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -O3 -march=native $(LDFLAGS) -o $@ $< $(call archives,core) $(EXT_core)

$(B)/bench/http/bare: bench/http/bare.c | generated
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< -lmicrohttpd

# --- fuzzing: each target is one file with LLVMFuzzerTestOneInput; a stand-alone driver runs the corpus in `make test`,
# libFuzzer's own in a MODE=fuzz build, which `make fuzz` makes with clang
FUZZ_SECONDS ?= 60
FUZZ_CC      ?= clang-14
FUZZ_DRIVER  := $(if $(filter fuzz,$(MODE)),,$(B)/tests/fuzz/standalone_driver.o)
FUZZ_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
# which layer a target belongs to stands in its first line: /* layer: core */
fuzz_layer = $(or $(shell sed -n '1s|^/\* layer: \([a-z]*\).*|\1|p' $(1)),base)
define fuzz_program
$(B)/$(basename $(1)): $(B)/$(basename $(1)).o $(FUZZ_DRIVER) $(call archives,$(2))
	$$(Q)echo "  LINK  $$@"; $$(CC) $$(LDFLAGS) -o $$@ $$^ $(EXT_$(2))
FUZZ_BINS += $(B)/$(basename $(1))
endef
$(foreach t,$(FUZZ_SRCS),$(eval $(call fuzz_program,$(t),$(call fuzz_layer,$(t)))))
.PHONY: fuzz-corpus
fuzz-corpus: $(FUZZ_BINS)
fuzz:
	@sh scripts/install-deps.sh build fuzz
	@$(MAKE) --no-print-directory MODE=fuzz CC='$(FUZZ_CC)' -j$(JOBS) fuzz-corpus
	@sh tests/fuzz/run.sh build/fuzz $(FUZZ_SECONDS) $(TARGETS)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/pared
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin/
	install -m 644 openapi.yaml $(DESTDIR)$(PREFIX)/share/pared/
	$(B)/pared --print-config > $(DESTDIR)$(PREFIX)/share/pared/pared.conf.sample
cover:
	@$(MAKE) --no-print-directory MODE=cover test
	@sh scripts/coverage.sh build/cover
clean:
	rm -rf build

ifeq ($(filter clean help,$(MAKECMDGOALS)),)
-include $(shell find $(B) -name '*.d' 2>/dev/null)
endif
