# A web page that streams a chat: http://127.0.0.1:4000
#
#     mix run elixir/examples/web/server.exs
#     mix run elixir/examples/web/server.exs --port 8080
#     mix run elixir/examples/web/server.exs --fake     answers at once, without vLLM and a model
#
# For a folder of your own, copy this one, put the next line at the top of this file, and run it with
# `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])
#
# With `{:cowboy, "~> 2.9"}` in that list, Cowboy serves the page.

{options, [], []} = OptionParser.parse(System.argv(), strict: [port: :integer, fake: :boolean])

# vLLM logs much while it loads.
Logger.configure(level: :error)

for file <- ["chat.ex", "http.ex", "connection.ex", "chat_page.ex"],
    do: Code.require_file(file, __DIR__)

# Cowboy carries the page where it is there, and otherwise a plain listener of OTP.
server =
  if Code.ensure_loaded?(:cowboy) do
    Code.require_file("cowboy.ex", __DIR__)
    ChatPage.Cowboy
  else
    ChatPage
  end

engine =
  if options[:fake] do
    {:ok, _worker} = Vllm.Test.start_link(name: Example.Vllm)
    engine = Vllm.Test.engine!(Example.Vllm, max_model_len: 4096)

    Vllm.Test.reply(engine, :any, "Hello! I am a fake engine, and say this to everybody.",
      delay: 30
    )

    story =
      "Once upon a time there was a token." <> String.duplicate(" Then came another one.", 60)

    Vllm.Test.reply(engine, ~r/story/, story, delay: 40)
    engine
  else
    # The engine is declared, so it comes back when it or its worker dies.
    chat = [
      model: Vllm.SmallModel.path!(:chat),
      max_model_len: 2048,
      # These three make it start sooner on a CPU. Leave them out where there is a GPU.
      enforce_eager: true,
      kv_cache_memory_bytes: 256 * 1024 * 1024,
      distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
    ]

    IO.puts("Loading the engine …")
    {:ok, _instance} = Vllm.start_link(name: Example.Vllm, engines: [chat: chat])
    {:ok, _engine} = Vllm.engine(Example.Vllm, :chat, :infinity)
    fn -> Vllm.engine(Example.Vllm, :chat) end
  end

title = if options[:fake], do: "a fake engine", else: "SmolLM2-135M"
chat = [max_tokens: 512, temperature: 0.6]
port = Keyword.get(options, :port, 4000)
{:ok, page} = server.start_link(engine: engine, title: title, chat: chat, port: port)

IO.puts("Open http://127.0.0.1:#{server.port(page)} in a browser. Ctrl-C twice ends it.")
Process.sleep(:infinity)
