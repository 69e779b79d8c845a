import static dev.langchain4j.data.message.UserMessage.userMessage;

import dev.langchain4j.model.chat.StreamingChatModel;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.langchain4j.model.openai.OpenAiChatModel;
import dev.langchain4j.model.openai.OpenAiStreamingChatModel;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** LangChain4j, unmodified: one JSON line per check on the standard output. */
class LangChain4j {
    interface Check {
        void run() throws Exception;
    }

    static final String BASE_URL = System.getenv("FLOW_TEST_BASE_URL");
    static final String KEY = System.getenv("FLOW_TEST_KEY");

    static void check(String name, Check check) {
        String end = "\"ok\":true}";
        try {
            check.run();
        } catch (Throwable error) {
            String detail = String.valueOf(error).replaceAll("[\"\\\\\\p{Cntrl}]", "'");
            end = "\"ok\":false,\"detail\":\"" + detail + "\"}";
        }
        System.out.println("{\"check\":\"" + name + "\"," + end);
    }

    static OpenAiChatModel model(String name) {
        return OpenAiChatModel.builder().baseUrl(BASE_URL).apiKey(KEY).modelName(name).maxRetries(0).build();
    }

    /** The text of a stream. Throws what it was told as an error. */
    static String stream(String name) throws Exception {
        StreamingChatModel model = OpenAiStreamingChatModel.builder().baseUrl(BASE_URL).apiKey(KEY).modelName(name).build();
        CompletableFuture<String> whole = new CompletableFuture<>();
        model.chat(List.of(userMessage("Hello.")), new StreamingChatResponseHandler() {
            @Override
            public void onPartialResponse(String text) {}

            @Override
            public void onCompleteResponse(ChatResponse response) {
                whole.complete(response.aiMessage().text());
            }

            @Override
            public void onError(Throwable error) {
                whole.completeExceptionally(error);
            }
        });
        return whole.get(30, TimeUnit.SECONDS);
    }

    static void expect(boolean isTrue, String what) {
        if (!isTrue) throw new AssertionError(what);
    }

    public static void main(String[] arguments) {
        check("text", () -> {
            String text = model("flow/answers").chat("Hello.");
            expect(text.equals("It is sunny."), text);
        });
        check("stream", () -> {
            String text = stream("flow/answers");
            expect(text.equals("It is sunny."), text);
        });
        check("a stream that was cut is an error", () -> {
            String text;
            try {
                text = stream("flow/cut");
            } catch (java.util.concurrent.ExecutionException error) {
                return;
            }
            throw new AssertionError("taken for an answer: " + text);
        });
        check("an error names the target and how it failed", () -> {
            String message = "";
            try {
                model("flow/down").chat("Hello.");
            } catch (RuntimeException error) {
                message = String.valueOf(error.getMessage());
            }
            expect(message.contains("openai/model-down: server_error 500"), message);
        });
        System.exit(0);
    }
}
