"""Clients that embed, unmodified: openai, LangChain, LlamaIndex and LiteLLM."""

import math

import litellm
import openai
from harness import BASE_URL, KEY, LOOP, ROOT_URL, check, raises
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.embeddings.openai import OpenAIEmbedding

litellm.suppress_debug_info = True
TEXTS = ["A river bends.", "A stream turns.", "Bread rises."]
VECTORS = "flow/vectors"
SANDBOX = "flow/sandbox-vectors"
DIMENSIONS = 8
TOKENS_EACH = 3
# The openai client must not try again: an outage is then told at once.
CLIENT = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)


def near(left, right):
    return len(left) == len(right) and all(abs(one - two) < 1e-6 for one, two in zip(left, right))


def plain(route, texts=TEXTS):
    """The vectors as numbers, which no client had to unpack."""
    answer = CLIENT.embeddings.create(model=route, input=texts, encoding_format="float")
    return [entry.embedding for entry in answer.data]


def same(vectors, route=VECTORS, texts=TEXTS):
    expected = plain(route, texts)
    return len(vectors) == len(expected) and all(near(one, two) for one, two in zip(vectors, expected))


@check("openai asks for base64 and hands out numbers")
def _():
    for route in (VECTORS, SANDBOX):
        answer = CLIENT.embeddings.create(model=route, input=TEXTS)
        assert [entry.index for entry in answer.data] == [0, 1, 2]
        assert all(len(entry.embedding) == DIMENSIONS for entry in answer.data)
        assert same([entry.embedding for entry in answer.data], route)


@check("openai has usage and the answering model")
def _():
    answer = CLIENT.embeddings.create(model=VECTORS, input=TEXTS, dimensions=DIMENSIONS, user="ada")
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == len(TEXTS) * TOKENS_EACH
    assert answer.model == "vectors-1", answer.model


@check("openai with token arrays")
def _():
    answer = CLIENT.embeddings.create(model=VECTORS, input=[[1, 2, 3], [4]])
    assert [len(entry.embedding) for entry in answer.data] == [DIMENSIONS, DIMENSIONS]


@check("openai without blocking")
async def _():
    async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0) as client:
        answer = await client.embeddings.create(model=VECTORS, input=TEXTS[0])
    assert same([answer.data[0].embedding], texts=TEXTS[:1])


@check("openai's client of Azure")
def _():
    client = openai.AzureOpenAI(azure_endpoint=ROOT_URL, api_key=KEY, api_version="2024-10-21", max_retries=0)
    answer = client.embeddings.create(model=VECTORS, input=TEXTS)
    assert same([entry.embedding for entry in answer.data])


@check("openai's errors have their classes")
def _():
    refused = raises(lambda: CLIENT.embeddings.create(model=VECTORS, input=[]))
    assert isinstance(refused, openai.BadRequestError) and refused.param == "input", refused
    lost = raises(lambda: CLIENT.embeddings.create(model="flow/lost", input="A river bends."))
    assert isinstance(lost, openai.InternalServerError), lost


def langchain(route=VECTORS, **more):
    # It would cut texts into OpenAI's tokens, for which it fetches a vocabulary.
    options = {"check_embedding_ctx_length": False, "max_retries": 0, **more}
    return OpenAIEmbeddings(model=route, base_url=BASE_URL, api_key=KEY, **options)


@check("LangChain embeds a query and documents")
def _():
    assert same([langchain().embed_query(TEXTS[0])], texts=TEXTS[:1])
    assert same(langchain().embed_documents(TEXTS))
    assert same(langchain(chunk_size=2, dimensions=DIMENSIONS).embed_documents(TEXTS))
    assert same(LOOP.run_until_complete(langchain().aembed_documents(TEXTS)))


@check("LangChain finds a text in its store")
def _():
    store = InMemoryVectorStore.from_texts(TEXTS, langchain(SANDBOX))
    [(found, score)] = store.similarity_search_with_score(TEXTS[1], k=1)
    assert found.page_content == TEXTS[1] and math.isclose(score, 1, abs_tol=1e-5), (found, score)


def llama_index(route=VECTORS, **more):
    return OpenAIEmbedding(model_name=route, api_base=BASE_URL, api_key=KEY, max_retries=0, **more)


@check("LlamaIndex embeds a query and texts")
def _():
    assert same([llama_index().get_query_embedding(TEXTS[0])], texts=TEXTS[:1])
    assert same(llama_index().get_text_embedding_batch(TEXTS))
    assert same(llama_index(embed_batch_size=2, dimensions=DIMENSIONS).get_text_embedding_batch(TEXTS))


@check("LlamaIndex finds a text in its index")
def _():
    index = VectorStoreIndex([TextNode(text=text) for text in TEXTS], embed_model=llama_index(SANDBOX))
    [found] = index.as_retriever(similarity_top_k=1).retrieve(TEXTS[2])
    assert found.node.get_content() == TEXTS[2], found


@check("LiteLLM embeds")
def _():
    for route in (VECTORS, SANDBOX):
        answer = litellm.embedding(
            model=f"openai/{route}", input=TEXTS, api_base=BASE_URL, api_key=KEY, max_retries=0
        )
        assert same([entry["embedding"] for entry in answer.data], route)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0, answer.usage
