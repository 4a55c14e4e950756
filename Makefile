# Front door only; Meson does the work. See README.md.
BUILD  ?= build
MESON  := meson
SETUP  := $(BUILD)/build.ninja

.PHONY: build deps test demo bench stress check clean install

build: $(SETUP)
	ninja -C $(BUILD)

deps:
	scripts/install-deps

$(SETUP): | deps
	$(MESON) setup $(BUILD)

test: deps build
	scripts/run-tests $(BUILD)

demo: deps build
	bench/demo $(BUILD) out

check: deps build
	scripts/check-house

clean:
	rm -rf $(BUILD) out

install: build
	$(MESON) install -C $(BUILD)
