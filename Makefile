# Makefile of o365_msgtrace
#
# Built by PGXS, as any extension: make, make install, make installcheck.
# The house's own targets (see "make help") need neither PGXS nor a server:
# they are scripts in tests/run, which install what is missing first.

HOUSE_TARGETS = help demo demo-stop check check-long bench format lint

ifneq ($(filter $(HOUSE_TARGETS),$(MAKECMDGOALS)),)

# ---- the house's targets -----------------------------------------------------

.PHONY: $(HOUSE_TARGETS)
.NOTPARALLEL:

C_FILES = $(wildcard src/*/*.[ch] tests/service/*.[ch] tests/unit/*.[ch])
SHELL_FILES = $(filter-out tests/run/demo_sql tests/run/tap,$(wildcard tests/run/*)) \
	$(wildcard tests/bench/*.sh) .ci/run
CLANG_FORMAT ?= clang-format

help:
	@echo 'make              build the extension (PG_CONFIG=... chooses the server)'
	@echo 'make install      install it into that server'
	@echo 'make installcheck run the SQL tests on a running server'
	@echo 'make demo         install what is missing, then show it on a private server'
	@echo 'make demo-stop    end the demonstration'
	@echo 'make check        install what is missing, build, run every test'
	@echo '                  (TESTS="sql tests/t/000_house.t" chooses some)'
	@echo 'make check-long   the same with 2000 random queries, and a month of the ingest'
	@echo 'make bench        measure rows per second'
	@echo 'make format       format the C files (clang-format)'
	@echo 'make lint         check their format, and the shell scripts (shellcheck)'
	@echo 'make clean        end what make demo or check left, remove what was built'

demo demo-stop bench:
	@tests/run/$@

check:
	@tests/run/check $(TESTS)

check-long:
	@LONG=1 COUNT=2000 tests/run/check $(TESTS)

format:
	$(CLANG_FORMAT) -i $(C_FILES)

lint:
	$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)
	shellcheck -x $(SHELL_FILES)

# Goals of PGXS named beside ours, as in "make install demo".
PGXS_GOALS = $(filter-out $(HOUSE_TARGETS),$(MAKECMDGOALS))
ifneq ($(PGXS_GOALS),)
.PHONY: $(PGXS_GOALS)
$(PGXS_GOALS):
	$(MAKE) $@
endif

else

# ---- the extension -----------------------------------------------------------

EXTENSION = o365_msgtrace
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" $(EXTENSION).control)

MODULE_big = $(EXTENSION)
OBJS = \
	src/fdw/module.o \
	src/fdw/handler.o \
	src/fdw/option.o \
	src/fdw/option_check.o \
	src/fdw/options.o \
	src/fdw/atom.o \
	src/fdw/pattern.o \
	src/fdw/condition.o \
	src/fdw/gate.o \
	src/fdw/window_call.o \
	src/fdw/alternatives.o \
	src/fdw/question.o \
	src/fdw/plan.o \
	src/fdw/estimate.o \
	src/fdw/paths.o \
	src/fdw/shape.o \
	src/fdw/ordered.o \
	src/fdw/kept.o \
	src/fdw/loops.o \
	src/fdw/wide.o \
	src/fdw/reading.o \
	src/fdw/scan.o \
	src/fdw/async.o \
	src/fdw/scanner.o \
	src/fdw/tuple.o \
	src/fdw/explain.o \
	src/fdw/detail_keys.o \
	src/fdw/detail_plan.o \
	src/fdw/detail_reading.o \
	src/fdw/detail_scan.o \
	src/fdw/join_plan.o \
	src/fdw/join_scan.o \
	src/fdw/import.o \
	src/fdw/check.o \
	src/fdw/check_step.o \
	src/fdw/check_requests.o \
	src/fdw/secrets.o \
	src/fdw/secret_admin.o \
	src/fdw/secret_input.o \
	src/fdw/secret_keys.o \
	src/fdw/mapping.o \
	src/fdw/error.o \
	src/fdw/log.o \
	src/fdw/stats.o \
	src/fdw/server_stats.o \
	src/fdw/transaction.o \
	src/fdw/job_timeout.o \
	src/fdw/relation.o \
	src/fdw/rejected.o \
	src/trace/cloud.o \
	src/trace/field.o \
	src/trace/query.o \
	src/trace/slice.o \
	src/trace/dialect.o \
	src/trace/filter.o \
	src/trace/graph.o \
	src/trace/reporting.o \
	src/trace/detail.o \
	src/trace/detail_queue.o \
	src/trace/detail_reader.o \
	src/trace/page.o \
	src/trace/escape.o \
	src/trace/bad_row.o \
	src/trace/rejects.o \
	src/trace/row.o \
	src/trace/lanes.o \
	src/trace/strand.o \
	src/trace/bundle.o \
	src/trace/pace.o \
	src/trace/pager.o \
	src/trace/range.o \
	src/trace/keyset.o \
	src/auth/authorization.o \
	src/auth/certificate.o \
	src/auth/claims.o \
	src/auth/share.o \
	src/auth/refusal.o \
	src/auth/credential.o \
	src/auth/pem_file.o \
	src/auth/token.o \
	src/auth/vault.o \
	src/auth/session.o \
	src/net/base64.o \
	src/net/crypto.o \
	src/net/http.o \
	src/net/http_text.o \
	src/net/loop.o \
	src/net/group.o \
	src/net/head.o \
	src/net/body.o \
	src/net/clock.o \
	src/net/retry.o \
	src/net/status.o \
	src/net/shared.o \
	src/net/window.o \
	src/net/book.o \
	src/net/budget.o \
	src/net/counters.o \
	src/net/wait.o \
	src/net/document.o

# The files of src/schema carry a number that says their order.
EXTENSION_SQL = $(EXTENSION)--$(EXTVERSION).sql
SCHEMA_FILES = $(sort $(wildcard src/schema/*.sql))
DATA_built = $(EXTENSION_SQL)

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --encoding=UTF8

LIBRARIES = libcurl jansson openssl
PKG_CONFIG ?= pkg-config

# PGXS does not track headers: let the compiler write them down as it goes.
DEPENDENCIES = $(OBJS:.o=.d)
PG_CPPFLAGS = -I$(srcdir)/src $(shell $(PKG_CONFIG) --cflags $(LIBRARIES))
PG_CFLAGS = -Wextra -MMD -MP $(if $(filter 1,$(WERROR)),-Werror)
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs $(LIBRARIES))
EXTRA_CLEAN = $(DEPENDENCIES) $(wildcard $(EXTENSION)--*.sql) tmp_check

# Bitcode lets the JIT inline SQL-callable functions. Nothing here is worth
# that, and without it a build needs no clang.
override with_llvm := no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifneq ($(wildcard $(PGXS)),)
include $(PGXS)

# Warnings are for our own code: the server's headers are a system's.
override CPPFLAGS := $(patsubst -I$(includedir_server),-isystem $(includedir_server),\
	$(patsubst -I$(includedir_internal),-isystem $(includedir_internal),$(CPPFLAGS)))

-include $(DEPENDENCIES)
else
ifneq ($(MAKECMDGOALS),clean)
$(error No PGXS found by "$(PG_CONFIG) --pgxs": install the server's development files (postgresql-server-dev-NN) or set PG_CONFIG; "make demo" and "make check" install them)
endif
endif

$(EXTENSION_SQL): $(SCHEMA_FILES) $(EXTENSION).control
	cat $(SCHEMA_FILES) > $@.new
	mv $@.new $@

clean: clean-private

.PHONY: clean-private
clean-private:
	@tests/run/clean
	@$(MAKE) -s -C tests/service clean

endif
