defmodule Mix.Tasks.Vllm.Demo do
  @shortdoc "Shows real vLLM engines in this terminal"

  @moduledoc """
  Shows the bridge with real vLLM and small models, which it makes first:

      mix vllm.demo

  It starts a worker and loads two engines at once: SmolLM2-135M-Instruct, which chats, and
  all-MiniLM-L6-v2, which embeds. Then it shows an answer that streams, four streams side by side, a story
  that is stopped, JSON that fits a schema, an adapter that changes the voice, a table of similarities, an
  error, the status of the engines, and that nothing is left when it has stopped.

  The models are `Vllm.SmallModel`'s: two are downloaded once, and the adapter is trained once, which
  takes half a minute on two free cores. Where they cannot be had, for lack of a network, the demo says so and goes on with the
  scripted model of `Vllm.TinyModel`.

  It fits 80 columns. Output to a pipe, and with `NO_COLOR` set, has no colours.
  """

  use Mix.Task

  alias Vllm.{Doctor, Environment}
  alias Vllm.Core.Demo.{Leftovers, Scenes, Screen, Setup}

  @instance Vllm.Demo

  @impl true
  def run(_argv) do
    Mix.Task.run("app.start")
    # Hides what vLLM logs while it loads.
    Logger.configure(level: :error)
    began = Screen.now()
    Setup.put_environment()

    Screen.title("vLLM from Elixir: real engines, every result a value, every token a message")
    models = installed()
    {instance, context} = loaded(models)

    Scenes.answer(context)
    Scenes.side_by_side(context)
    Scenes.abort(context)
    Scenes.json(context)
    Scenes.voice(context, fn -> Setup.adapter(context.kind) end)
    Scenes.similarity(context)
    Scenes.error(context)
    Scenes.status(context)
    stopped(instance)

    IO.puts("")
    Screen.say("Done in #{Screen.decimal(Screen.since(began))} s.")
    Screen.say("Next: `iex -S mix`, and the guides in elixir/guides.")
  end

  defp installed do
    Screen.heading("What is installed")
    models = Setup.models()
    {:ok, python} = Environment.python()

    Screen.facts([
      {"Elixir", "#{System.version()} on OTP #{System.otp_release()}"},
      {"Python", python},
      {"vLLM", vllm()},
      {"chat", models.chat},
      {"embed", models.embed || "not there"}
    ])

    models
  end

  # As `mix vllm.doctor` finds it, which starts no worker.
  defp vllm do
    case Enum.find(Doctor.run(), &(&1.name == "vllm")) do
      %{found: found} -> found
      nil -> "unknown"
    end
  end

  defp loaded(models) do
    engines = Setup.engines(models)
    Screen.heading("A worker, and #{length(engines)} engines that load at once")
    began = Screen.now()

    # vLLM's log is read for the progress, and not shown. The priority stays, because each engine is one
    # process with one thread, which leaves the BEAM a core.
    with {:ok, instance} <- Vllm.start_link(name: @instance, log: false, nice: 0),
         Screen.lines(["worker ready after #{Screen.decimal(Screen.since(began))} s"]),
         {:ok, refs} <- Setup.load(@instance, engines) do
      {instance, Map.merge(%{kind: models.kind, embed: nil}, refs)}
    else
      {:error, error} -> Mix.raise(Exception.message(error))
    end
  end

  defp stopped(instance) do
    Screen.heading("What is left behind")
    before = Leftovers.of(@instance)
    began = Screen.now()
    Supervisor.stop(instance)
    seconds = Screen.decimal(Screen.since(began))
    left = Leftovers.left(before)

    Screen.facts([
      {"processes", "#{length(before.processes)} ran, #{length(left.processes)} are left"},
      {"its folder", if(left.folder, do: "#{left.folder} is left", else: "removed")},
      {"stopped in", "#{seconds} s; the models stay in #{Environment.cache_dir()}"}
    ])
  end
end
