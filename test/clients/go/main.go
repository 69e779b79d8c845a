// The go-openai package, unmodified: one JSON line per check on the standard output.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	openai "github.com/sashabaranov/go-openai"
)

var client *openai.Client

func check(name string, run func() error) {
	line := map[string]any{"check": name, "ok": true}
	if err := run(); err != nil {
		line["ok"], line["detail"] = false, err.Error()
	}
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

func asking(model string) openai.ChatCompletionRequest {
	hello := openai.ChatCompletionMessage{Role: "user", Content: "Hello."}
	return openai.ChatCompletionRequest{Model: model, Messages: []openai.ChatCompletionMessage{hello}}
}

// The text of a stream, and how it ended.
func read(model string) (string, error) {
	stream, err := client.CreateChatCompletionStream(context.Background(), asking(model))
	if err != nil {
		return "", err
	}
	defer stream.Close()
	var text strings.Builder
	for {
		chunk, err := stream.Recv()
		if err != nil {
			return text.String(), err
		}
		for _, choice := range chunk.Choices {
			text.WriteString(choice.Delta.Content)
		}
	}
}

func main() {
	config := openai.DefaultConfig(os.Getenv("FLOW_TEST_KEY"))
	config.BaseURL = os.Getenv("FLOW_TEST_BASE_URL")
	client = openai.NewClientWithConfig(config)

	check("text", func() error {
		answer, err := client.CreateChatCompletion(context.Background(), asking("flow/answers"))
		if err == nil && answer.Choices[0].Message.Content != "It is sunny." {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	})
	check("stream", func() error {
		text, err := read("flow/answers")
		if !errors.Is(err, io.EOF) || text != "It is sunny." {
			return fmt.Errorf("%q, %v", text, err)
		}
		return nil
	})
	check("a stream that was cut is an error", func() error {
		text, err := read("flow/cut")
		if err == nil || errors.Is(err, io.EOF) {
			return fmt.Errorf("taken for an answer: %q, %v", text, err)
		}
		return nil
	})
	check("parallel tool calls", func() error {
		request := asking("flow/answers")
		parameters := json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"}}}`)
		function := &openai.FunctionDefinition{Name: "get_weather", Parameters: parameters}
		request.Tools = []openai.Tool{{Type: openai.ToolTypeFunction, Function: function}}
		answer, err := client.CreateChatCompletion(context.Background(), request)
		if err == nil && len(answer.Choices[0].Message.ToolCalls) != 2 {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	})
	check("an error names the target and how it failed", func() error {
		_, err := client.CreateChatCompletion(context.Background(), asking("flow/down"))
		if err == nil || !strings.Contains(err.Error(), "openai/model-down: server_error 500") {
			return fmt.Errorf("%v", err)
		}
		return nil
	})
}
