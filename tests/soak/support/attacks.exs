# What a hostile client does: `{name, function}`, and the function returns :ok, or what was wrong with
# the answer. Each has stopped a worker, changed the answers of others or ended a client before.

defmodule Soak.Attacks do
  alias Soak.{BrokenAdapters, Processes}
  alias Vllm.{AsyncLLM, Error, LoRARequest, Stream, Tensor}

  # Of the scripted model.
  @hidden_size 320
  @eos 2

  @megabyte 1_000_000
  @greedy [temperature: 0.0, max_tokens: 8]
  @adapter_id 50

  @doc """
  All of them.

    * `engine` - as the hostile client knows it
    * `good` - the folder of an adapter that loads
    * `folder` - where broken ones are made
    * `instances` - whose processes get messages that they do not know
  """
  def all(engine, good, folder, instances) do
    {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
    {:ok, cut} = Vllm.call(tokenizer, "encode", ["the secret prompt é"])
    {:ok, [letter]} = Vllm.call(tokenizer, "encode", ["a"], add_special_tokens: false)

    List.flatten([
      embeddings(engine),
      adapters(engine, good, folder),
      constraints(engine, letter),
      {"a prompt that ends inside a character", fn -> secret(engine, Enum.drop(cut, -1)) end},
      options(engine),
      large(engine),
      {"a flood of log", fn -> done(Vllm.call(engine, :print_megabytes, [100])) end},
      {"messages that nobody knows", fn -> Enum.each(instances, &stray/1) end}
    ])
  end

  defp embeddings(engine) do
    for {name, number} <- [nan: <<0, 0, 0xC0, 0x7F>>, infinity: <<0, 0, 0x80, 0x7F>>] do
      zeros = :binary.copy(<<0>>, 4 * (40 * @hidden_size - 1))
      tensor = %Tensor{dtype: "float32", shape: [40, @hidden_size], data: zeros <> number}

      {"one #{name} in prompt_embeds",
       fn -> refused(answer(engine, %{prompt_embeds: tensor}, @greedy)) end}
    end
  end

  defp adapters(engine, good, folder) do
    broken = BrokenAdapters.make(good, folder)

    loads =
      for {{name, path}, number} <- Enum.with_index(broken) do
        {"an adapter with #{name}", fn -> refused(load(engine, 100 + number, path)) end}
      end

    replaced =
      for {name, path} <- broken do
        {"a replacement with #{name}", fn -> replace(engine, good, path) end}
      end

    loads ++ replaced
  end

  # After the failure the id is what it was before, or gone.
  defp replace(engine, good, path) do
    with :ok <- done(load(engine, @adapter_id, good)),
         :ok <- refused(load(engine, @adapter_id, path, load_inplace: true)) do
      adapter = %LoRARequest{lora_name: "tenant", lora_int_id: @adapter_id, lora_path: good}

      case answer(engine, "Hello", @greedy, lora_request: adapter) do
        {:ok, text} -> if text == String.duplicate(" meow", 8), do: :ok, else: {:said, text}
        {:error, _gone} -> :ok
      end
    end
  end

  defp load(engine, id, path, more \\ []) do
    fields = [lora_name: "tenant-#{id}", lora_int_id: id, lora_path: path]
    AsyncLLM.add_lora(engine, struct!(LoRARequest, fields ++ more))
  end

  defp constraints(engine, letter) do
    for constraint <- [
          [allowed_token_ids: [letter], bad_words: ["a"]],
          [allowed_token_ids: [@eos], min_tokens: 5],
          [allowed_token_ids: [letter], logit_bias: %{letter => :neg_infinity}]
        ] do
      {"no token is left by #{inspect(Keyword.keys(constraint))}",
       fn -> refused(answer(engine, "Hello", @greedy ++ constraint)) end}
    end
  end

  defp secret(engine, token_ids) do
    case answer(engine, %{prompt_token_ids: token_ids}, @greedy) do
      {:ok, text} -> if text =~ "secret", do: {:said, text}, else: :ok
      {:error, error} -> {:refused, error}
    end
  end

  defp options(engine) do
    for {name, value} <- [
          window: 2 ** 64,
          window: 2 ** 32,
          window: 0,
          timeout: 2 ** 64,
          timeout: -1,
          timeout: 1.5
        ] do
      {"#{name}: #{value}",
       fn -> refused(Vllm.call(engine, :is_paused, [], rpc: [{name, value}])) end}
    end
  end

  defp large(engine) do
    text = String.duplicate("count ", div(5 * @megabyte, 6))

    # More would keep the BEAM busy, which both clients share here. `loop_gaps.exs` sends 12 million.
    integers = fn -> List.duplicate(2 ** 31, @megabyte) end

    [
      {"a streamed part of 5 MB", fn -> refused(answer(engine, [text], @greedy)) end},
      {"a prompt of 5 MB", fn -> refused(answer(engine, text, @greedy)) end},
      {"a prompt of 5 MB that is truncated",
       fn -> any(answer(engine, text, [truncate_prompt_tokens: 10] ++ @greedy)) end},
      {"a million integers in extra_args",
       fn -> any(answer(engine, "Hello", [extra_args: %{"a" => integers.()}] ++ @greedy)) end}
    ]
  end

  defp stray(instance) do
    for pid <- Processes.servers(instance) do
      send(pid, {:bogus, 1})
      GenServer.cast(pid, {:bogus, "cast"})
      spawn(fn -> GenServer.call(pid, {:bogus, "call"}, 1000) end)
    end

    :ok
  end

  ## Answers

  defp answer(engine, prompt, params, options \\ []) do
    id = "tenant-#{System.unique_integer([:positive])}"

    with {:ok, stream} <- AsyncLLM.generate(engine, prompt, params, id, options),
         {:ok, output} <- Stream.collect(stream),
         do: {:ok, hd(output.outputs).text}
  end

  defp refused({:error, %Error{kind: :invalid}}), do: :ok
  defp refused(other), do: {:not_refused, other}

  defp done({:ok, _value}), do: :ok
  defp done(other), do: {:failed, other}

  # Answered or refused: what counts is that it ends with one of both, and blames the request.
  defp any({:ok, _text}), do: :ok
  defp any(other), do: refused(other)
end
