// Strict validation of what the chart renders and of the compose file, offline: each Kubernetes object is decoded by the
// Go type of its own API, in which an unknown field, a field given twice or a value of another type is an error. The
// compose file is read by the library of docker compose, with its schema.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"

	"bufio"
	"errors"
	"io"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "expected: check manifests FILE... or check compose FILE [PROFILE...]")
		os.Exit(2)
	}
	var failures []error
	switch os.Args[1] {
	case "manifests":
		for _, file := range os.Args[2:] {
			failures = append(failures, manifests(file)...)
		}
	case "compose":
		failures = compose(os.Args[2], os.Args[3:])
	default:
		failures = []error{fmt.Errorf("unknown command %q", os.Args[1])}
	}
	for _, failure := range failures {
		fmt.Fprintln(os.Stderr, failure)
	}
	if len(failures) > 0 {
		os.Exit(1)
	}
}

func manifests(file string) []error {
	content, err := os.ReadFile(file)
	if err != nil {
		return []error{err}
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		core.AddToScheme, apps.AddToScheme, batch.AddToScheme, networking.AddToScheme, policy.AddToScheme,
		monitoring.AddToScheme, keda.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return []error{err}
		}
	}
	strict := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	var failures []error
	count := 0
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return append(failures, fmt.Errorf("%s: %w", file, err))
		}
		var fields map[string]any
		if err := yaml.Unmarshal(document, &fields); err == nil && len(fields) == 0 {
			continue // comments only
		}
		count++
		if _, _, err := strict.Decode(document, nil, nil); err != nil {
			failures = append(failures, fmt.Errorf("%s: %v %v: %w", file, fields["kind"], fields["metadata"], err))
		}
	}
	fmt.Printf("%s: %d objects\n", file, count)
	return failures
}

func compose(file string, profiles []string) []error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithOsEnv, cli.WithProfiles(profiles), cli.WithName("streamflow"))
	if err != nil {
		return []error{err}
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return []error{err}
	}
	fmt.Printf("%s: %d services\n", file, len(project.Services))
	return nil
}
