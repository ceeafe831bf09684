#!/bin/sh
# Compiles examples/mobile/Session.kt for the JVM and runs the kit against it: sh examples/kotlin/run.sh $SERVICE [OPTIONS]
#
# Needs Java 11 or newer; KOTLIN_HOME, the folder of a Kotlin compiler (from npm: kotlin-compiler), whose lib has the coroutines; and JSON_JAR,
# org.json, which Android has built in (Debian: libandroid-json-org-java).
set -eu
cd "$(dirname "$0")/../.."
: "${KOTLIN_HOME:?}" "${JSON_JAR:?}"
service=$1
shift

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
libraries=$KOTLIN_HOME/lib/kotlinx-coroutines-core-jvm.jar:$JSON_JAR
bash "$KOTLIN_HOME/bin/kotlinc" -classpath "$libraries" -include-runtime -d "$out/client.jar" \
  ../../examples/mobile/Session.kt examples/kotlin/Conformance.kt
node src/main.js --service "$service" --at-once 4 "$@" \
  --client "exec java -Xmx128m -XX:TieredStopAtLevel=1 -cp $out/client.jar:$libraries ConformanceKt"
