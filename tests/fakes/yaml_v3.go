// Reads documents and says what Go makes of them: the other half of the emitter's promise.
//
// Each line of standard input is a JSON array ["yaml" | "json", text]; each line of standard output is the tree in it, where every
// value carries its type: ["str", "x"], ["int", "5"], ["float", "1.5"], ["time", "2026-01-02T00:00:00Z"], ["bool", "true"],
// ["null"], ["seq", value…], ["map", [key, value]…], or ["error", message].
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

func typed(v interface{}) []interface{} {
	switch v := v.(type) {
	case nil:
		return []interface{}{"null"}
	case string:
		return []interface{}{"str", v}
	case bool:
		return []interface{}{"bool", strconv.FormatBool(v)}
	case int:
		return []interface{}{"int", strconv.Itoa(v)}
	case int64:
		return []interface{}{"int", strconv.FormatInt(v, 10)}
	case uint64:
		return []interface{}{"int", strconv.FormatUint(v, 10)}
	case float64:
		switch {
		case math.IsInf(v, 0), math.IsNaN(v):
			return []interface{}{"float", fmt.Sprint(v)}
		}
		return []interface{}{"float", strconv.FormatFloat(v, 'g', -1, 64)}
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return []interface{}{"float", string(v)}
		}
		return []interface{}{"int", string(v)}
	case time.Time:
		return []interface{}{"time", v.Format(time.RFC3339Nano)}
	case []interface{}:
		out := []interface{}{"seq"}
		for _, item := range v {
			out = append(out, typed(item))
		}
		return out
	case map[string]interface{}:
		out := []interface{}{"map"}
		for key, item := range v {
			out = append(out, []interface{}{typed(key), typed(item)})
		}
		return out
	case map[interface{}]interface{}:
		out := []interface{}{"map"}
		for key, item := range v {
			out = append(out, []interface{}{typed(key), typed(item)})
		}
		return out
	}
	return []interface{}{"error", fmt.Sprintf("unexpected %T", v)}
}

func read(format, text string) (answer []interface{}) {
	defer func() {
		if r := recover(); r != nil {
			answer = []interface{}{"error", fmt.Sprint(r)}
		}
	}()
	var tree interface{}
	var err error
	if format == "yaml" {
		err = yaml.Unmarshal([]byte(text), &tree)
	} else {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		err = decoder.Decode(&tree)
	}
	if err != nil {
		return []interface{}{"error", err.Error()}
	}
	return typed(tree)
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var request [2]string
		if err := json.Unmarshal(line, &request); err != nil {
			panic(err)
		}
		answer, err := json.Marshal(read(request[0], request[1]))
		if err != nil {
			panic(err)
		}
		out.Write(append(answer, '\n'))
		out.Flush()
	}
}
