# Many prompts in one call: vLLM's LLM runs them together and returns all outputs in their order.
#
#     mix run elixir/examples/batch.exs
#
# For a file of your own, copy this one, put the next line at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])

# vLLM logs much while it loads.
Logger.configure(level: :error)

IO.puts("Loading the model …")

{:ok, llm} =
  Vllm.LLM.new(Vllm.SmallModel.path!(:chat),
    max_model_len: 1024,
    # These three make it start sooner on a CPU. Leave them out where there is a GPU.
    enforce_eager: true,
    kv_cache_memory_bytes: 256 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  )

# One set of parameters for all prompts. A list would give one to each.
params = [max_tokens: 8, temperature: 0.0]
prompts = ["One, two, three,", "Monday, Tuesday,", "The capital of Italy is", "A, B, C, D,"]
{:ok, outputs} = Vllm.LLM.generate(llm, prompts, sampling_params: params)

for {prompt, output} <- Enum.zip(prompts, outputs),
    do: IO.puts("#{prompt}#{inspect(hd(output.outputs).text)}")

# Three completions of one prompt. The seed makes them the same in every run.
params = [n: 3, max_tokens: 8, temperature: 1.0, seed: 7]
{:ok, [output]} = Vllm.LLM.generate(llm, "My favourite animal is", sampling_params: params)
IO.puts("\nMy favourite animal is")
for completion <- output.outputs, do: IO.puts("  #{inspect(completion.text)}")

# Conversations, each a list of messages.
conversations =
  for city <- ["Paris", "Tokyo"],
      do: [%{role: "user", content: "In which country is #{city}?"}]

params = [max_tokens: 24, temperature: 0.0]
{:ok, answers} = Vllm.LLM.chat(llm, conversations, sampling_params: params)
IO.puts("")
for answer <- answers, do: IO.puts(hd(answer.outputs).text)

{:ok, nil} = Vllm.LLM.shutdown(llm)
