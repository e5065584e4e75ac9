defmodule Vllm.Pooling do
  @moduledoc """
  Embeddings, classes and scores of whole batches, in one call each.

      {:ok, model} = Vllm.SmallModel.path(:embed)
      {:ok, engine} = Vllm.AsyncLLM.from_engine_args(model: model, runner: "pooling")

      {:ok, batch} = Vllm.embed(engine, ["A cat plays.", "Interest rates rise."])
      batch.embeddings
      #=> #Vllm.Tensor<float32[2, 384]>

      {:ok, batch} = Vllm.score(engine, "Who plays?", ["A cat plays.", "Interest rates rise."])
      Vllm.Tensor.to_list(batch.scores)

  `embed/3`, `classify/3`, `score/4` and `encode/3` are also functions of `Vllm`. The engine is an
  `AsyncLLM` that was built with `runner: "pooling"`; `Vllm.LLM` has functions of its own.

  The requests of a batch run in the engine at the same time, together with those of others, and the
  numbers come back as one tensor. Thousands of inputs are one call, up to 32,768; the engine gets as many
  at a time as keep it busy.

  ## Inputs

  One input or a list of them. Each is

    * a text
    * a list of token ids
    * a prompt: a `Vllm.TextPrompt`, a `Vllm.TokensPrompt`, or a map with their keys
    * a map with `:messages`, as `Vllm.chat/3` takes them, which the chat template of the model puts into
      a text. It may also have `:chat_template`, `:chat_template_kwargs`, `:add_generation_prompt`,
      `:continue_final_message`, `:add_special_tokens` and `:cache_salt`.

  A batch takes texts. Images, videos and audio are prompts of `Vllm.AsyncLLM.encode/5`.

  ## Options

  #{Vllm.Core.Pooling.Settings.docs()}

  ## Errors

  When one input fails, the batch fails, and what is left of it is aborted. The message begins with the
  input, such as `inputs[3]:`, and `details["input"]` is its number. The same happens when the caller
  ends or the timeout passes: no request is left in the engine.

    * `:invalid` - an input, an option or their number is wrong
    * `:unsupported` - the model does not do this; the message says what it does and how to build one
      that does. `details` has `"supported_tasks"` and `"convert"`
    * `:overloaded` - the queue of the engine is full; retry later
    * `:cancelled` - somebody aborted a request of the batch
    * those of `Vllm.AsyncLLM.encode/5`
  """

  alias Vllm.{
    Call,
    ClassificationBatch,
    EmbeddingBatch,
    Error,
    PoolingBatch,
    Ref,
    ScoreBatch
  }

  alias Vllm.Core.Pooling.{Inputs, Settings}

  @typedoc "What is pooled; see *Inputs*."
  @type input :: String.t() | [non_neg_integer()] | map()

  @typedoc "A text, or for a multimodal model a map with `:content`, a list of OpenAI's parts."
  @type scored :: String.t() | %{content: [map()]}

  @doc """
  Embeds a batch: a row of numbers for each input. Texts of similar meaning have similar rows; see
  `Vllm.Tensor.cosine/2` and `Vllm.Tensor.rows/1`.

  Takes the options above, and

  #{Settings.docs(:embed)}
  """
  @spec embed(Vllm.engine(), input() | [input()], keyword()) ::
          {:ok, EmbeddingBatch.t()} | {:error, Error.t()}
  def embed(engine, inputs, opts \\ []), do: batch(engine, :embed, inputs, opts)

  @doc """
  Classifies a batch: a row of probabilities for each input, a column for each class.

      {:ok, batch} = Vllm.classify(engine, ["So good!", "So bad."])
      for row <- Vllm.Tensor.to_list(batch.probs), do: Enum.zip(batch.labels, row)
  """
  @spec classify(Vllm.engine(), input() | [input()], keyword()) ::
          {:ok, ClassificationBatch.t()} | {:error, Error.t()}
  def classify(engine, inputs, opts \\ []), do: batch(engine, :classify, inputs, opts)

  @doc """
  Computes a task that is named, with a tensor for each input. The tasks whose outputs are of the length
  of the input are only to be had here: `"token_embed"` and `"token_classify"`, a row for each token.

      {:ok, batch} = Vllm.encode(engine, ["A cat", "A very old cat"], task: "token_embed")
      for tensor <- batch.outputs, do: tensor.shape

  Takes the options above, and

  #{Settings.docs(:encode_batch)}
  """
  @spec encode(Vllm.engine(), input() | [input()], keyword()) ::
          {:ok, PoolingBatch.t()} | {:error, Error.t()}
  def encode(engine, inputs, opts), do: batch(engine, :encode_batch, inputs, opts)

  @doc """
  Scores how well queries and documents fit each other: one query with each document, or as many queries
  as documents, pair by pair.

  A model that embeds gives the cosine of the two embeddings; one that embeds each token, the sum of the
  best matches of the query's tokens; a classifier with a single label reads query and document together
  (a cross-encoder, or reranker).

      {:ok, batch} = Vllm.score(engine, query, documents)
      best = documents |> Enum.zip(Vllm.Tensor.to_list(batch.scores)) |> Enum.max_by(&elem(&1, 1))

  Takes the options above, each with one value for all pairs, and

  #{Settings.docs(:score)}
  """
  @spec score(Vllm.engine(), scored() | [scored()], scored() | [scored()], keyword()) ::
          {:ok, ScoreBatch.t()} | {:error, Error.t()}
  def score(engine, queries, documents, opts \\ []) do
    with :ok <- check_engine(engine),
         {:ok, named} <- Settings.arguments(:score, opts),
         {:ok, queries} <- Inputs.normalize(queries, "queries"),
         {:ok, documents} <- Inputs.normalize(documents, "documents"),
         do: Call.invoke(engine, "score", [queries, documents], [], named)
  end

  defp batch(engine, method, inputs, opts) do
    with :ok <- check_engine(engine),
         {:ok, named} <- Settings.arguments(method, opts),
         {:ok, inputs} <- Inputs.normalize(inputs, "inputs"),
         do: Call.invoke(engine, "#{method}", [inputs], [], named)
  end

  # The methods of an `LLM` have the same names and other arguments.
  defp check_engine(%Ref{type: "LLM"}) do
    message =
      "this is an LLM, whose functions are those of Vllm.LLM; an AsyncLLM is needed here, from " <>
        "Vllm.AsyncLLM.from_engine_args/2"

    {:error, Error.new(:unsupported, message, details: %{"class" => "LLM"})}
  end

  defp check_engine(_engine), do: :ok
end
