"""Files that a gate's command reads without naming them: a table of kinds. Each row is a command, and what judges by it."""

import pytest

from subagents.judges_files import judging_part
from tests.subagents.test_judges_files import role

JUDGE = r"""
cargo test  =>  build.rs crates/a/build.rs .cargo/config.toml .cargo/config rust-toolchain.toml rust-toolchain
cargo test  =>  Cargo.toml
cargo clippy -- -D warnings  =>  clippy.toml
cargo fmt --check  =>  rustfmt.toml
cargo deny check  =>  deny.toml
cargo nextest run  =>  .config/nextest.toml
cargo bench  =>  benches/a.rs
cargo xtask ci  =>  xtask/src/main.rs
uv run pytest  =>  uv.toml pyproject.toml .python-version
jq -e -f ci/rules.jq out.json  =>  ci/rules.jq
jq -ef ci/rules.jq out.json  =>  ci/rules.jq
jq --from-file ci/rules.jq out.json  =>  ci/rules.jq
jq -e --slurpfile want expected.json '. == $want' out.json  =>  expected.json
cat tests/list.txt | xargs pytest  =>  tests/list.txt
find checks -name '*.sh' | xargs -n1 bash  =>  checks/a.sh
find checks -name '*.sh' -print0 | xargs -0 bash  =>  checks/a.sh
find checks -name '*.sh' -exec bash {} \;  =>  checks/a.sh
find . -name '*.bats' | xargs bats  =>  t/a.bats
ls checks/*.sh | xargs -n1 bash  =>  checks/a.sh
git ls-files 'checks/*.sh' | xargs -n1 bash  =>  checks/a.sh
for f in checks/*.sh; do bash $f; done  =>  checks/a.sh
for f in $(find checks -name '*.sh'); do bash "$f"; done  =>  checks/a.sh
find checks -name '*.sh' | while read f; do bash "$f"; done  =>  checks/a.sh
parallel bash ::: checks/*.sh  =>  checks/a.sh
make -C sub check  =>  sub/Makefile
make -Csub deep  =>  sub/tests/test_a.py
make --directory=sub deep  =>  sub/tests/test_a.py
make -f build/x.mk  =>  build/x.mk
make -fbuild/x.mk  =>  build/x.mk
make check  =>  config.mk GNUmakefile Makefile.am
tox  =>  tox.ini
tox -e py  =>  tox.ini
tox -c ci/tox.ini  =>  ci/tox.ini
nox  =>  noxfile.py
nox -f ci/noxfile.py  =>  ci/noxfile.py
nox -s tests  =>  noxfile.py
npx jest  =>  jest.config.ts
npm test  =>  jest.config.mjs babel.config.js .babelrc .babelrc.json .swcrc tsconfig.json tsconfig.test.json
npm test  =>  vitest.config.mts vite.config.ts .mocharc.yml .env.test .env .npmrc pnpm-workspace.yaml .pnpmfile.cjs
npm test  =>  .yarnrc.yml package.json node_modules/.bin/jest webpack.config.js rollup.config.js svelte.config.js
npm test  =>  next.config.js angular.json wallaby.js jest.setup.ts setupTests.ts src/setupTests.js __mocks__/fs.js
npm test  =>  src/__snapshots__/a.snap .browserslistrc stryker.conf.json bunfig.toml
bun test  =>  bunfig.toml a.test.ts
deno test  =>  deno.json deno.jsonc
deno task test  =>  deno.json
node --test  =>  a.test.js
phpunit  =>  phpunit.xml
vendor/bin/phpunit  =>  phpunit.xml.dist
./vendor/bin/phpunit  =>  tests/ATest.php
vendor/bin/pest  =>  phpunit.xml tests/Pest.php
vendor/bin/psalm  =>  psalm.xml
vendor/bin/phpstan analyse  =>  phpstan.neon
composer test  =>  composer.json
php artisan test  =>  phpunit.xml
bundle exec rspec  =>  Gemfile .rspec spec/spec_helper.rb .bundle/config
rspec  =>  spec/support/x.rb
bundle exec rake test  =>  Rakefile
rake spec  =>  lib/tasks/x.rake
rails test  =>  test/test_helper.rb
bin/rails test  =>  test/models/a_test.rb
bundle exec cucumber  =>  cucumber.yml
cucumber  =>  features/a.feature
behave  =>  behave.ini features/a.feature features/environment.py features/steps/x.py
robot tests/  =>  tests/a.robot
go test ./...  =>  go.mod go.work pkg/testdata/x.golden
go vet ./...  =>  go.mod
go generate ./...  =>  go.mod
golangci-lint run  =>  .golangci.yml
mvn -q test  =>  pom.xml
./mvnw test  =>  pom.xml mvnw .mvn/wrapper/maven-wrapper.properties .mvn/jvm.config
mvn test  =>  .mvn/extensions.xml src/test/java/ATest.java src/test/resources/junit-platform.properties
./gradlew test  =>  build.gradle build.gradle.kts settings.gradle.kts gradle.properties
./gradlew test  =>  buildSrc/src/main/groovy/x.groovy gradle/libs.versions.toml
./gradlew test  =>  gradle/wrapper/gradle-wrapper.properties init.gradle app/src/test/kotlin/ATest.kt
gradle check  =>  config/checkstyle/checkstyle.xml
cmake --build build && ctest --test-dir build  =>  CMakeLists.txt
cmake -B build && ctest --test-dir build  =>  cmake/tests.cmake
cmake -B build -S . && cmake --build build  =>  CMakePresets.json
ctest --preset x  =>  CMakePresets.json
meson test -C build  =>  meson.build
ninja -C build test  =>  build.ninja
bazel test //...  =>  .bazelrc a/BUILD
sbt test  =>  build.sbt project/plugins.sbt
lein test  =>  project.clj
mix test  =>  mix.exs test/test_helper.exs config/test.exs .formatter.exs
dotnet test  =>  a/a.csproj Directory.Build.props x.sln .runsettings global.json nuget.config
swift test  =>  Package.swift
flutter test  =>  pubspec.yaml
dart test  =>  dart_test.yaml
dart analyze  =>  analysis_options.yaml
stack test  =>  stack.yaml
cabal test  =>  cabal.project
zig build test  =>  build.zig
pytest  =>  conftest.py src/conftest.py sitecustomize.py a.pth x/evil.pth
python check.py  =>  sitecustomize.py usercustomize.py lib/x.pth
python -m pytest  =>  setup.cfg pytest.ini .env pyproject.toml
python setup.py test  =>  setup.py
mypy src  =>  mypy.ini pyproject.toml
pyright  =>  pyrightconfig.json
basedpyright  =>  pyrightconfig.json
pytype  =>  pytype.cfg
ruff check  =>  ruff.toml
flake8  =>  .flake8
pre-commit run -a  =>  .pre-commit-config.yaml .flake8 ruff.toml
pylint src  =>  .pylintrc
isort --check .  =>  .isort.cfg .editorconfig
eslint .  =>  .eslintrc.json eslint.config.mjs .eslintignore
stylelint '**/*.css'  =>  .stylelintrc.json
prettier --check .  =>  .prettierrc .editorconfig
tsc --noEmit  =>  tsconfig.json
tsc -p tsconfig.build.json  =>  tsconfig.build.json
shellcheck ci/a.sh  =>  .shellcheckrc
yamllint .  =>  .yamllint
markdownlint-cli2 '**/*.md'  =>  .markdownlint.json
markdownlint .  =>  .markdownlint.yaml
hadolint Dockerfile  =>  .hadolint.yaml
actionlint  =>  .github/actionlint.yaml
vale docs  =>  .vale.ini
codespell  =>  .codespellrc
typos  =>  _typos.toml
buf lint  =>  buf.yaml
tflint  =>  .tflint.hcl
ansible-lint  =>  .ansible-lint
sqlfluff lint  =>  .sqlfluff
semgrep --config ci/rules.yml  =>  ci/rules.yml
semgrep ci  =>  .semgrep.yml
bandit -r src  =>  .bandit
trivy fs .  =>  trivy.yaml
gitleaks detect  =>  .gitleaks.toml
sphinx-build -W docs out  =>  docs/conf.py
mkdocs build --strict  =>  mkdocs.yml
docker compose run web pytest  =>  docker-compose.yml
docker build .  =>  Dockerfile .dockerignore
docker buildx bake  =>  docker-bake.hcl
just test  =>  justfile
task test  =>  Taskfile.yml
mise run test  =>  mise.toml .mise.toml
mage test  =>  magefile.go
invoke test  =>  tasks.py
earthly +test  =>  Earthfile
nix flake check  =>  flake.nix
nix-build  =>  default.nix
pants test ::  =>  BUILD
bats t  =>  t/a.bats t/setup_suite.bash t/test_helper.bash
prove t  =>  .proverc
perl Makefile.PL && make test  =>  Makefile.PL
lua spec.lua  =>  spec.lua
busted  =>  .busted
luacheck .  =>  .luacheckrc
scons  =>  SConstruct
waf test  =>  wscript
python waf test  =>  waf
./configure && make check  =>  configure Makefile.in
autoreconf -i && ./configure && make check  =>  configure.ac
npm run check  =>  package.json
sh -c './ci/check.sh'  =>  ci/check.sh
awk -f ci/check.awk out.txt  =>  ci/check.awk
sed -n -f ci/x.sed out.txt  =>  ci/x.sed
grep -f ci/patterns.txt out.txt  =>  ci/patterns.txt
grep -qFf ci/patterns.txt out.txt  =>  ci/patterns.txt
grep -c -F --file=ci/patterns.txt out.txt  =>  ci/patterns.txt
psql -f tests/check.sql  =>  tests/check.sql
psql -f ci/check.sql  =>  ci/check.sql
sqlite3 db < ci/check.sql  =>  ci/check.sql
python < ci/check.py  =>  ci/check.py
bash < ci/check.sh  =>  ci/check.sh
cat ci/check.py | python  =>  ci/check.py
sha256sum -c sums.txt  =>  sums.txt
sha256sum --check ci/sums  =>  ci/sums
md5sum -c ci/sums  =>  ci/sums
cmp out.txt want.txt  =>  want.txt
git diff --no-index --exit-code want.txt out.txt  =>  want.txt
PATH=$PWD/bin:$PATH grep -q ok out.txt  =>  bin/grep
export PATH="$(pwd)/node_modules/.bin:$PATH"; checker  =>  node_modules/.bin/checker
export PATH=./bin:$PATH && run  =>  bin/run
npm run check  =>  node_modules/.bin/checker
test "$(./run.sh)" = "$(cat want.txt)"  =>  want.txt
jsonschema -i out.json schema.json  =>  schema.json
check-jsonschema --schemafile schema.json out.json  =>  schema.json
ajv validate -s schema.json -d out.json  =>  schema.json
xmllint --schema s.xsd out.xml --noout  =>  s.xsd
xmllint --relaxng s.rng out.xml  =>  s.rng
openssl verify -CAfile ci/ca.pem cert.pem  =>  ci/ca.pem
node -r ./ci/hook.js app.js  =>  ci/hook.js
node --require=./ci/hook.js app.js  =>  ci/hook.js
node --import ./ci/hook.mjs app.js  =>  ci/hook.mjs
node --env-file=.env.ci test.js  =>  .env.ci
NODE_OPTIONS='--require ./ci/hook.js' npm test  =>  ci/hook.js
PYTHONSTARTUP=ci/x.py python app.py  =>  ci/x.py
BASH_ENV=ci/env.sh bash run.sh  =>  ci/env.sh
python -W error -X importtime ci/x.py  =>  ci/x.py
xvfb-run -a python ci/x.py  =>  ci/x.py
stdbuf -oL bash ci/x.sh  =>  ci/x.sh
flock lock bash ci/x.sh  =>  ci/x.sh
nohup bash ci/x.sh  =>  ci/x.sh
time -p bash ci/x.sh  =>  ci/x.sh
strace -f bash ci/x.sh  =>  ci/x.sh
perf stat bash ci/x.sh  =>  ci/x.sh
valgrind -q ./ci/x.sh  =>  ci/x.sh
expect ci/x.exp  =>  ci/x.exp
tclsh ci/x.tcl  =>  ci/x.tcl
pwsh -File ci/x.ps1  =>  ci/x.ps1
fish ci/x.fish  =>  ci/x.fish
source .env && ./ci/x.sh  =>  .env
. ./.env; ./ci/x.sh  =>  .env
eval "$(cat ci/env.sh)"; pytest  =>  ci/env.sh
direnv exec . pytest  =>  .envrc
dotenv run -- pytest  =>  .env
dotenv -f .env.ci run pytest  =>  .env.ci
docker run --rm -v .:/w img bash ci/x.sh  =>  ci/x.sh
act -j test  =>  .github/workflows/ci.yml
pytest @ci/tests.txt  =>  ci/tests.txt
pytest --confcutdir=x tests  =>  tests/conftest.py
pytest -o cache_dir=x --rootdir=sub  =>  sub/conftest.py
pytest --ds=config.settings.test  =>  config/settings/test.py
DJANGO_SETTINGS_MODULE=config.ci pytest  =>  config/ci.py
python manage.py test --settings=config.test  =>  config/test.py
python manage.py test  =>  manage.py
coverage run --rcfile=ci/cov.ini -m pytest  =>  ci/cov.ini
python -m tox  =>  tox.ini
python -m nox  =>  noxfile.py
pip install -r requirements-test.txt && pytest  =>  requirements-test.txt
poetry run pytest  =>  poetry.toml
"""

# What is looked at is the work itself. Lock files are protected paths, and hold what an honest phase adds.
LOOKED_AT = r"""
find src -name '*.py' | xargs ruff check  =>  src/a.py
find src -name '*.py' | xargs grep -q TODO  =>  src/a.py
git ls-files '*.py' | xargs python -m py_compile  =>  src/a.py
for f in src/*.js; do node --check "$f"; done  =>  src/a.js
for f in *.sh; do bash -n "$f"; done  =>  a.sh
find . -name '*.json' -exec python -m json.tool {} \;  =>  a.json
jq -e . config.json  =>  config.json
cat out.txt | grep -q ok  =>  out.txt
cat app.json | python -m json.tool  =>  app.json
[ "$(cat VERSION)" = 2.0 ]  =>  VERSION
test "$(wc -l < out.txt)" -ge 3  =>  out.txt
./app --config prod.yml  =>  src/app.py
mypy src tests  =>  src/a.py
eslint src  =>  src/a.js
cargo test  =>  src/lib.rs Cargo.lock
go test ./...  =>  pkg/a.go vendor/modules.txt
npm test  =>  src/index.js
npm run build  =>  src/app.ts
python app.py > out.txt  =>  out.txt
shellcheck scripts/a.sh  =>  scripts/a.sh
docker build .  =>  src/a.py
sphinx-build docs out  =>  docs/index.md
cmake --build build  =>  src/a.c
make check  =>  src/a.c
curl -o out.json http://x  =>  out.json
pytest --junitxml=out.xml  =>  out.xml
python -m build  =>  src/a.py
ls dist/*.whl  =>  dist/a.whl
find src -type f | wc -l  =>  src/a.py
find src -name '*.py' -exec wc -l {} +  =>  src/a.py
cat src/*.css | wc -c  =>  src/a.css
terraform validate  =>  main.tf
git diff --exit-code src  =>  src/a.py
node dist/cli.js --file input.md  =>  src/cli.ts
tsc --outFile out.js  =>  out.js
cargo build --release  =>  src/main.rs
bundle exec rspec  =>  Gemfile.lock
npm ci && npm test  =>  package-lock.json
"""


def rows(table: str) -> list[tuple[str, list[str]]]:
    """(command, paths) of each row."""
    found = [line.partition("  =>  ") for line in table.strip().split("\n")]
    return [(command, paths.split()) for command, _, paths in found]


@pytest.mark.parametrize(("command", "paths"), rows(JUDGE), ids=lambda value: value if isinstance(value, str) else "")
def test_what_a_command_reads_unnamed_judges(command: str, paths: list[str]) -> None:
    assert [path for path in paths if not role(command, path)] == []


@pytest.mark.parametrize(("command", "paths"), rows(LOOKED_AT), ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_looked_at_does_not_judge(command: str, paths: list[str]) -> None:
    assert [path for path in paths if role(command, path)] == []


GO = "module a\n\ngo 1.22\n\nrequire (\n\tb.org/c v1.2.3 // indirect\n)\n"


@pytest.mark.parametrize(
    ("path", "old", "added", "same"),
    [
        ("go.mod", GO, "require d.org/e v1.0.0\n", True),
        ("go.mod", GO, "replace b.org/c => ./fake\n", False),
        ("go.mod", GO, "toolchain go1.23.0\n", False),
        ("Gemfile", "source 'https://rubygems.org'\ngem 'rspec'\n", "gem 'rack', '~> 3.0'\n", True),
        ("Gemfile", "gem 'rspec'\n", "gem 'rspec', path: 'fake'\n", False),
        ("Gemfile", "gem 'rspec'\n", "at_exit { exit! 0 }\n", False),
    ],
)
def test_adding_a_dependency_is_work_and_replacing_what_judges_is_not(path: str, old: str, added: str, same: bool) -> None:
    assert (judging_part(path, old) == judging_part(path, old + added)) == same
