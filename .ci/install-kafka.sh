#!/usr/bin/env bash
# A real Kafka for the tests marked needs_kafka: its jars, from Maven, in .cache/kafka/libs.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly POM=$ROOT/.ci/kafka-pom.xml
readonly HOME_DIR=$ROOT/.cache/kafka

kafka_version() {
    # Without a configuration the logger complains on stderr.
    java -cp "$HOME_DIR/libs/*" kafka.Kafka --version 2>/dev/null
}

has java || apt_install default-jre-headless
if ! cmp -s "$POM" "$HOME_DIR/pom.xml"; then
    has mvn || apt_install maven
    say "Fetching Kafka's jars"
    rm -rf "$HOME_DIR"
    mkdir -p "$HOME_DIR"
    mvn --batch-mode --quiet --file "$POM" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$HOME_DIR/libs"
    cp "$POM" "$HOME_DIR/pom.xml" # last: it says that all jars are there
fi
proven java java -version
proven kafka kafka_version
